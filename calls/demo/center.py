"""The center the demo shows: an invented company for household appliances, its people, groups and numbers.

Read by `load_demo`, which makes the account's rows of it, and by the simulator, which lets it work.
"""

import zoneinfo
from dataclasses import dataclass

from calls.demo.simulator import CallerRange, Center, Group, Line, Seat, Topic

NAME = "Heronway Home Appliances"
SLUG = "heronway-demo"
TIME_ZONE = "Asia/Shanghai"
REGION = "CN"
EMAIL_DOMAIN = "heronway.example"

HOTLINE = "+864005550100"
SALES_LINE = "+862155500200"
OFFICE_LINE = "+861055500300"


@dataclass(frozen=True, slots=True)
class Person:
    staff_id: str
    name: str
    nickname: str
    email_name: str

    @property
    def email(self) -> str:
        return f"{self.email_name}@{EMAIL_DOMAIN}"


ADMINISTRATOR = Person("9001", "Gao Min", "高敏", "admin")
SUPERVISOR = Person("9002", "Shen Yue", "沈悦", "supervisor")
INSPECTOR = Person("9003", "Tang Rui", "唐锐", "quality")

_NAMES = (
    ("Wang Fang", "王芳"),
    ("Li Na", "李娜"),
    ("Zhang Wei", "张伟"),
    ("Liu Yang", "刘洋"),
    ("Chen Jing", "陈静"),
    ("Yang Lei", "杨磊"),
    ("Zhao Min", "赵敏"),
    ("Huang Qiang", "黄强"),
    ("Zhou Ting", "周婷"),
    ("Wu Jie", "吴杰"),
    ("Xu Lili", "徐丽丽"),
    ("Sun Hao", "孙浩"),
    ("Ma Chao", "马超"),
    ("Zhu Lin", "朱琳"),
    ("Hu Bin", "胡斌"),
    ("Guo Xin", "郭欣"),
    ("He Ping", "何平"),
    ("Lin Yue", "林悦"),
    ("Luo Yi", "罗毅"),
    ("Liang Shu", "梁舒"),
    ("Song Jia", "宋佳"),
    ("Zheng Kai", "郑凯"),
    ("Xie Yun", "谢云"),
    ("Han Xue", "韩雪"),
)
AGENTS = tuple(Person(f"{1001 + n}", name, nickname, name.lower().replace(" ", ".")) for n, (name, nickname) in enumerate(_NAMES))

CARE, SALES, SUPPORT, BILLING, COMPLAINTS = "Customer care", "Sales", "Technical support", "Billing", "Complaints"
SUPERVISED = (SALES, BILLING, CARE)

_MEMBERSHIPS = (
    (SUPPORT,),
    (SUPPORT,),
    (SALES, CARE),
    (CARE, COMPLAINTS),
    (SUPPORT, CARE),
    (SALES,),
    (BILLING,),
    (SUPPORT,),
    (SALES,),
    (CARE, COMPLAINTS),
    (SUPPORT,),
    (BILLING, CARE),
    (SALES,),
    (SUPPORT,),
    (COMPLAINTS, CARE),
    (SUPPORT, SALES),
    (BILLING,),
    (SALES, BILLING),
    (CARE,),
    (SUPPORT, COMPLAINTS),
    (BILLING, SALES),
    (CARE, SUPPORT),
    (CARE, BILLING),
    (CARE, SUPPORT),
)
_EARLY, _DAY, _LATE, _NIGHT = (8.0, 16.5), (9.0, 17.5), (11.5, 20.0), (20.0, 32.0)
_SHIFTS = (_EARLY, _DAY, _LATE)
_REST = (frozenset({5, 6}), frozenset({6, 0}), frozenset({5, 6}), frozenset({1, 2}), frozenset({6, 3}))
# The last two share the nights.
_NIGHTS_OFF = (frozenset({4, 5, 6}), frozenset({0, 1, 2, 3}))


def _seat(position: int) -> Seat:
    at_night = position - (len(AGENTS) - len(_NIGHTS_OFF))
    return Seat(
        staff_id=AGENTS[position].staff_id,
        groups=_MEMBERSHIPS[position],
        shift=_NIGHT if at_night >= 0 else _SHIFTS[position % 3],
        days_off=_NIGHTS_OFF[at_night] if at_night >= 0 else _REST[position % 5],
        terminal="desk_phone" if position % 6 == 5 else "mobile" if position % 11 == 7 else "web",
        writes_chinese=position % 4 != 2,
    )


GROUPS = (
    Group(
        name=SUPPORT,
        key="2",
        share=0.36,
        talk=400,
        wrap_up=55,
        patience=240,
        longest_wait=480,
        overflow_to=CARE,
        overflow_after=150,
        topics=(
            Topic(
                "Solved",
                "Washing machine did not drain; filter cleaned together with the customer.",
                "洗衣机不排水，指导客户清洗过滤网，已解决。",
            ),
            Topic(
                "Technician booked",
                "Refrigerator too warm. Technician booked for Thursday morning.",
                "冰箱不制冷，已预约周四上午上门检修。",
            ),
            Topic(
                "Solved", "Error E3 after a power cut; reset of the control board helped.", "停电后显示E3，重置控制板后恢复正常。"
            ),
            Topic(
                "Call back",
                "Customer will read the serial number at home; call back tomorrow.",
                "客户回家后查看序列号，明天回电。",
            ),
        ),
    ),
    Group(
        name=SALES,
        key="1",
        share=0.22,
        talk=310,
        wrap_up=40,
        patience=130,
        longest_wait=300,
        queue_limit=5,
        overflow_to=CARE,
        overflow_after=100,
        topics=(
            Topic("Order taken", "Ordered a dishwasher, delivery next week.", "订购洗碗机一台，下周送货。"),
            Topic(
                "Offer sent",
                "Asked for the price of two air conditioners; offer sent by message.",
                "咨询两台空调价格，已短信发送报价。",
            ),
            Topic("Not interested", "Only compared prices, does not want an offer.", "仅比较价格，暂不需要报价。"),
        ),
    ),
    Group(
        name=BILLING,
        key="3",
        share=0.16,
        talk=250,
        wrap_up=35,
        patience=180,
        longest_wait=420,
        overflow_to=CARE,
        overflow_after=120,
        topics=(
            Topic("Invoice sent", "Invoice for the order sent again by email.", "已重新发送订单电子发票。"),
            Topic("Refund", "Charged twice; refund started.", "重复扣款，已发起退款。"),
            Topic("Solved", "Explained the fee for delivery to the fifth floor.", "解释五楼送货上门费用，客户接受。"),
        ),
    ),
    Group(
        name=COMPLAINTS,
        key="4",
        share=0.06,
        talk=520,
        wrap_up=110,
        patience=260,
        longest_wait=540,
        overflow_to=CARE,
        overflow_after=180,
        topics=(
            Topic(
                "Complaint", "Technician came two hours late. Apology and a voucher.", "师傅上门迟到两小时，已致歉并赠送优惠券。"
            ),
            Topic("Complaint", "Scratched door after delivery; replacement ordered.", "送货后门板划伤，已安排更换。"),
            Topic(
                "Escalated",
                "Third repair of the same fault; passed to the service manager.",
                "同一故障第三次维修，已升级至服务经理。",
            ),
        ),
    ),
    Group(
        name=CARE,
        key="0",
        share=0.20,
        talk=240,
        wrap_up=30,
        patience=170,
        hours=(0, 24),
        longest_wait=180,
        queue_limit=7,
        topics=(
            Topic("Solved", "Delivery time moved to Saturday afternoon.", "送货时间改至周六下午。"),
            Topic("Information", "Asked for the opening hours of the shop.", "咨询门店营业时间。"),
            Topic("Solved", "Registered the guarantee of a new oven.", "已登记新烤箱保修信息。"),
            Topic("Call back", "Line was bad; call back on the mobile phone.", "通话质量差，需回拨客户手机。"),
        ),
    ),
)

CENTER = Center(
    source="/demo/telephony",
    zone=zoneinfo.ZoneInfo(TIME_ZONE),
    groups=GROUPS,
    seats=tuple(_seat(position) for position in range(len(AGENTS))),
    lines=(Line(HOTLINE, 0.82), Line(SALES_LINE, 0.08, skill_group=SALES), Line(OFFICE_LINE, 0.10)),
    outbound_number=OFFICE_LINE,
    outbound_groups=(SALES, SALES, BILLING, CARE),
    fallback_group=CARE,
    partner_number="+862055509000",
    partner_provider="China Unicom",
    # Subscriber parts of four zeros: the form of real numbers, kept to a block nobody is reached under by chance.
    caller_ranges=(
        CallerRange("+861380000", "China Mobile", ("Beijing", "Guangdong Shenzhen", "Jiangsu Nanjing")),
        CallerRange("+861390000", "China Mobile", ("Shanghai", "Zhejiang Hangzhou", "Sichuan Chengdu")),
        CallerRange("+861300000", "China Unicom", ("Shandong Qingdao", "Liaoning Dalian", "Beijing")),
        CallerRange("+861860000", "China Unicom", ("Guangdong Guangzhou", "Hubei Wuhan")),
        CallerRange("+861330000", "China Telecom", ("Shanghai", "Fujian Xiamen", "Hunan Changsha")),
        CallerRange("+861890000", "China Telecom", ("Jiangsu Suzhou", "Chongqing", "Shaanxi Xi'an")),
        CallerRange("+861925000", "China Broadnet", ("Zhejiang Ningbo", "Tianjin")),
        CallerRange("+86105550", "China Unicom", ("Beijing",)),
        CallerRange("+86215550", "China Telecom", ("Shanghai",)),
        CallerRange("+867555550", "China Telecom", ("Guangdong Shenzhen",)),
    ),
    blocked_numbers=("+861700000013", "+861700000666", "+861710000099", "+864000009999"),
    spoken_wishes=(
        ("我的洗衣机不排水", SUPPORT),
        ("冰箱不制冷了", SUPPORT),
        ("空调显示E3", SUPPORT),
        ("my dishwasher does not start", SUPPORT),
        ("我想买一台空调", SALES),
        ("有没有新款烤箱", SALES),
        ("I would like to order a vacuum cleaner", SALES),
        ("我要开发票", BILLING),
        ("重复扣款了要退款", BILLING),
        ("I was charged twice", BILLING),
        ("我要投诉", COMPLAINTS),
        ("师傅一直没有来", COMPLAINTS),
        ("改一下送货时间", CARE),
        ("转人工", CARE),
        ("an agent please", CARE),
    ),
)
