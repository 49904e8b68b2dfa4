"""A server that plays the captured session to whoever logs in, and knows at each moment which channels and callers it has."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from functools import cache

from calls.adapters.asterisk_ami import Frame, read_message, write_message
from tests.calls.adapters.asterisk.capture import ami, arrivals

USER, SECRET = "portal", "correct horse"
_FINISHED = object()


@cache
def events() -> list[tuple[Frame, float]]:
    """The events of the session that nobody asked for, with when each came."""
    found: list[tuple[Frame, float]] = []
    reads = iter(arrivals())
    _, came_at = next(reads)
    following = next(reads)
    offset = 0
    for raw in ami().split(b"\r\n\r\n"):
        offset += len(raw) + 4
        while following is not None and following[0] < offset:
            came_at = following[1]
            following = next(reads, None)
        frame = read_message(raw)
        if "Event" in frame and (not frame.get("ActionID") or frame["Event"] == "OriginateResponse"):
            found.append((frame, came_at))
    return found


def queue_params() -> list[Frame]:
    frames = [read_message(raw) for raw in ami().split(b"\r\n\r\n")]
    first = next(frame["ActionID"] for frame in frames if frame.get("Event") == "QueueParams")
    return [
        {k: v for k, v in frame.items() if k != "ActionID"}
        for frame in frames
        if frame.get("ActionID") == first and frame.get("Event") == "QueueParams"
    ]


class World:
    """What the server has after the events it played."""

    def __init__(self) -> None:
        self.channels: dict[str, Frame] = {}
        self.waiting: dict[str, Frame] = {}
        self.members: dict[tuple[str, str], Frame] = {}
        self.at = 0.0

    def play(self, frame: Frame, at: float) -> None:
        self.at = max(self.at, at)
        event, uid = frame["Event"], frame.get("Uniqueid", "")
        if event == "Newchannel":
            self.channels[uid] = dict(frame) | {"begun": str(at), "BridgeId": ""}
        elif event == "Hangup":
            self.channels.pop(uid, None)
            self.waiting.pop(uid, None)
        elif event == "BridgeEnter" and uid in self.channels:
            self.channels[uid]["BridgeId"] = frame["BridgeUniqueid"]
        elif event == "BridgeLeave" and uid in self.channels:
            self.channels[uid]["BridgeId"] = ""
        elif event == "QueueCallerJoin":
            self.waiting[uid] = dict(frame) | {"joined": str(at)}
        elif event == "QueueCallerLeave":
            self.waiting.pop(uid, None)
        elif event == "QueueMemberRemoved":
            self.members.pop((frame["Queue"], frame["Interface"]), None)
        elif event.startswith("QueueMember") and "Interface" in frame:
            self.members[frame["Queue"], frame["Interface"]] = frame
        if uid in self.channels and "ChannelState" in frame:
            kept = ("ChannelState", "CallerIDNum", "Context", "Exten", "Linkedid")
            self.channels[uid].update({name: frame[name] for name in kept if name in frame})

    def show_channels(self) -> list[Frame]:
        return [
            {
                name: row[name]
                for name in ("Channel", "Uniqueid", "Linkedid", "ChannelState", "CallerIDNum", "Context", "Exten", "BridgeId")
            }
            | {
                "Event": "CoreShowChannel",
                "Duration": f"00:{int(self.at - float(row['begun'])) // 60:02}:{int(self.at - float(row['begun'])) % 60:02}",
            }
            for row in self.channels.values()
        ]

    def show_queues(self) -> list[Frame]:
        members = [
            {"Event": "QueueMember", "Queue": frame["Queue"], "Name": frame["MemberName"], "Location": frame["Interface"]}
            | {name: frame[name] for name in ("Membership", "LastPause", "LoginTime", "Status", "Paused", "PausedReason")}
            for frame in self.members.values()
        ]
        entries = [
            {
                "Event": "QueueEntry",
                "Queue": row["Queue"],
                "Uniqueid": uid,
                "Channel": row["Channel"],
                "Wait": str(int(self.at - float(row["joined"]))),
            }
            for uid, row in self.waiting.items()
        ]
        return [*queue_params(), *members, *entries]


class Server:
    """Plays the session once, over as many connections as it takes. `cuts`: after so many events the connection breaks and
    the next ones are played to nobody; `change` alters what is sent."""

    def __init__(
        self,
        *,
        cuts: dict[int, int] | None = None,
        speed: float = 0.0,
        change: Callable[[Frame], Frame | None] = lambda frame: frame,
    ) -> None:
        self.cuts, self.speed, self.change = cuts or {}, speed, change
        self.world = World()
        self.n_played = 0
        self.n_logins = 0
        self.asked: list[str] = []
        self.is_over = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *args: object) -> None:
        self._server.close()

    @property
    def port(self) -> int:
        return self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        playing = None
        challenge = "1234"
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                ask = read_message(await reader.readuntil(b"\r\n\r\n"))
                action = ask["Action"]
                self.asked.append(action)
                if action == "Challenge":
                    self._answer(writer, ask, Challenge=challenge)
                elif action == "Login":
                    key = hashlib.md5(f"{challenge}{SECRET}".encode()).hexdigest()
                    if (ask["Username"], ask["Key"]) != (USER, key):
                        writer.write(
                            write_message({"Response": "Error", "ActionID": ask["ActionID"], "Message": "Authentication failed"})
                        )
                        continue
                    self.n_logins += 1
                    self._answer(writer, ask)
                elif action in ("QueueStatus", "CoreShowChannels"):
                    rows = self.world.show_queues() if action == "QueueStatus" else self.world.show_channels()
                    self._answer(writer, ask, EventList="start")
                    for row in rows:
                        writer.write(write_message(row | {"ActionID": ask["ActionID"]}))
                    end = {"Event": f"{action}Complete", "EventList": "Complete", "ListItems": str(len(rows))}
                    writer.write(write_message(end | {"ActionID": ask["ActionID"]}))
                    if action == "CoreShowChannels" and playing is None:
                        playing = asyncio.create_task(self._play(writer))
                else:
                    self._answer(writer, ask)
                await writer.drain()
        if playing is not None:
            playing.cancel()
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, ask: Frame, **fields: str) -> None:
        writer.write(write_message({"Response": "Success", "ActionID": ask["ActionID"], **fields}))

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)  # the time in which a client sees what there is
        for frame, at in self._rest():
            if self.speed and at > self.world.at > 0:
                await writer.drain()
                await asyncio.sleep((at - self.world.at) / self.speed)
            self.world.play(frame, at)
            self.n_played += 1
            sent = self.change(frame)
            if sent is not None and not writer.is_closing():
                writer.write(write_message(sent))
            if self.n_played in self.cuts:
                await writer.drain()
                for missed, missed_at in list(self._rest())[: self.cuts.pop(self.n_played)]:
                    self.world.play(missed, missed_at)
                    self.n_played += 1
                writer.transport.abort()
                return
            if self.n_played % 200 == 0:
                await writer.drain()
                await asyncio.sleep(0)
        await writer.drain()
        self.is_over.set()

    def _rest(self) -> Iterator[tuple[Frame, float]]:
        yield from events()[self.n_played :]
