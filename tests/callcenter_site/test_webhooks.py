"""Signatures of webhooks: those of the specification, and nothing else."""

import base64
import datetime as dt

import pytest

from callcenter_site.webhooks import SignatureError, new_secret, sign, signed_headers, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIME = 1614265330
BODY = b'{"test": 2432232314}'
AT = dt.datetime.fromtimestamp(TIME, dt.UTC)
OTHER = new_secret()


def headers(**changes):
    return signed_headers(secrets=[SECRET], message_id=ID, at=AT, body=BODY) | {
        name.replace("_", "-"): value for name, value in changes.items()
    }


def test_the_example_of_the_specification_is_signed_alike():
    assert sign(SECRET, ID, TIME, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_has_256_bits_and_is_made_anew_each_time():
    assert len(base64.b64decode(OTHER.removeprefix("whsec_"), validate=True)) == 32 and new_secret() != OTHER


def test_what_was_signed_is_believed():
    message = verify(secrets=[OTHER, SECRET], headers=headers(), body=BODY, at=AT)
    assert (message.id, message.timestamp) == (ID, TIME)


def test_one_good_signature_among_several_is_enough():
    signed = signed_headers(secrets=[OTHER, SECRET], message_id=ID, at=AT, body=BODY)
    signed["webhook-signature"] = f"v1a,xyz {signed['webhook-signature']}"
    assert verify(secrets=[SECRET], headers=signed, body=BODY, at=AT).id == ID


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_clock_may_be_five_minutes_off(seconds):
    assert verify(secrets=[SECRET], headers=headers(), body=BODY, at=AT + dt.timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301, -(10**9), 10**9])
def test_and_no_more(seconds):
    with pytest.raises(SignatureError, match="300 seconds off"):
        verify(secrets=[SECRET], headers=headers(), body=BODY, at=AT + dt.timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"webhook_id": ""}, "needed"),
        ({"webhook_timestamp": ""}, "needed"),
        ({"webhook_signature": ""}, "needed"),
        ({"webhook_id": f"{ID}x"}, "fits"),
        ({"webhook_id": "x" * 256}, "at most 255"),
        ({"webhook_id": "a\r\nb"}, "printable"),
        ({"webhook_id": "ü"}, "ASCII"),
        ({"webhook_timestamp": str(TIME + 1)}, "fits"),
        ({"webhook_timestamp": f"{TIME}.0"}, "whole number"),
        ({"webhook_timestamp": f" {TIME}"}, "whole number"),
        ({"webhook_timestamp": "nan"}, "whole number"),
        ({"webhook_timestamp": "9" * 400}, "whole number"),
        ({"webhook_timestamp": "١٦١٤٢٦٥٣٣٠"}, "whole number"),
        ({"webhook_signature": "v1"}, "fits"),
        ({"webhook_signature": "v1,"}, "fits"),
        ({"webhook_signature": "v1,%%%"}, "fits"),
        ({"webhook_signature": "v1,\ud800ü"}, "fits"),
        ({"webhook_signature": "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "fits"),
        ({"webhook_signature": sign(OTHER, ID, TIME, BODY)}, "fits"),
        ({"webhook_signature": " ".join(["v1,x"] * 20 + [sign(SECRET, ID, TIME, BODY)])}, "fits"),
    ],
)
def test_what_is_not_signed_so_is_not_believed(changes, reason):
    with pytest.raises(SignatureError, match=reason):
        verify(secrets=[SECRET], headers=headers(**changes), body=BODY, at=AT)


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY[1:]])
def test_another_body_is_not_believed(body):
    with pytest.raises(SignatureError, match="fits"):
        verify(secrets=[SECRET], headers=headers(), body=body, at=AT)


def test_id_and_time_cannot_run_into_each_other():
    """`a.1` at 2 and `a` at `1.2` would be signed alike, were a time not a whole number."""
    signature = sign(SECRET, "a.1", TIME, BODY)
    with pytest.raises(SignatureError):
        verify(
            secrets=[SECRET],
            headers={"webhook-id": "a", "webhook-timestamp": f"1.{TIME}", "webhook-signature": signature},
            body=BODY,
            at=AT,
        )
