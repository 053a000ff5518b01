"""Who is champion, since when and why: every change of the alias is kept as a tag of the version that got it."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from MLOps.errors import UserError
from MLOps.model_registry.versions import CHAMPION, Registry

SINCE = "champion since "  # prefix of the tag of a change; its time in UTC follows
WITHDRAWN = "withdrawn"  # the tag of a version that a person took the alias from: who, when, why
GATE = "gate"  # the user of the changes that the gate makes
LONGEST_REASON = 1000  # characters


@dataclass(frozen=True)
class Change:
    """One change of the champion.

    Attributes:
        kind: "promote" or "rollback".
        version: the champion from then on.
        before: the champion until then; None for the first.
        by, reason: who and why.
        time: in UTC, ISO 8601.
    """

    kind: str
    version: str
    before: str | None
    by: str
    reason: str
    time: str

    @property
    def words(self) -> str:
        instead = f" instead of version {self.before}" if self.before else ""
        how = {"promote": "promoted", "rollback": "rolled back to"}[self.kind]
        return f"version {self.version} is {CHAMPION}{instead}, {how} by {self.by}: {self.reason}"

    def as_dict(self) -> dict[str, str | None]:
        return asdict(self)


def set_champion(registry: Registry, version: str, by: str, reason: str) -> Change | None:
    """Make `version` the champion; None if it is already.

    Raises:
        UserError: its files are not as they were registered, or the reason is empty or too long.
    """
    return _move(registry, "promote", version, by, reason)


def roll_back(registry: Registry, to: str | None, by: str, reason: str) -> Change:
    """Take the alias off the champion and give it to the version `to`, by default to the champion before it.

    Raises:
        UserError: as `set_champion`; or there is no champion, or none before it.
    """
    present = registry.version_at(CHAMPION)
    if present is None:
        raise UserError(f"{registry.name}: there is no {CHAMPION} to roll back")
    version = to or before(registry, present)
    change = _move(registry, "rollback", version, by, reason)
    if change is None:
        raise UserError(f"{registry.name}: version {version} is the {CHAMPION} already; name another version")
    return change


def withdrawn(registry: Registry, version: str) -> str | None:
    """Who withdrew a version or another with the same content, when and why; None where nobody has."""
    identity = registry.tags(version)[registry.identity_tag]
    found = (registry.tags(same).get(WITHDRAWN) for same in registry.versions_of(identity))
    return next((words for words in found if words), None)


def history(registry: Registry) -> list[Change]:
    """All changes, oldest first."""
    changes = [
        Change(version=version, time=tag.removeprefix(SINCE), **json.loads(value))
        for version, tags in registry.all_tags().items()
        for tag, value in tags.items()
        if tag.startswith(SINCE)
    ]
    changes.sort(key=lambda change: change.time)
    # Two processes that made one version the champion at once have both written it down.
    return [next(same) for _, same in groupby(changes, key=lambda change: change.version)]


def before(registry: Registry, present: str) -> str:
    """The champion before `present`, or a whole copy if it is damaged. What was rolled back is not returned to.

    Raises:
        UserError: none is known.
    """
    succession: list[str] = []
    for change in history(registry):
        if change.kind == "rollback" and change.version in succession:
            succession = succession[: succession.index(change.version)]
        elif change.kind == "rollback":
            succession = [version for version in succession if version != change.before]
        succession.append(change.version)
    # The present one may be a copy, registered anew, of the version in the history.
    same = registry.versions_of(registry.tags(present).get(registry.identity_tag, ""))
    first = next((place for place, version in enumerate(succession) if version in (present, *same)), len(succession))
    earlier = succession[:first]
    if not earlier:
        raise UserError(
            f"{registry.name}: no {CHAMPION} before version {present} is recorded; name one with --to: "
            f"{', '.join(version for version in registry.versions() if version != present) or 'there is no other'}"
        )
    # Its files may be damaged, and it registered anew.
    chosen = earlier[-1]
    copies = registry.versions_of(registry.tags(chosen).get(registry.identity_tag, ""))
    return next(filter(registry.is_whole, [chosen, *reversed(copies)]), chosen)


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _move(registry: Registry, kind: str, version: str, by: str, reason: str) -> Change | None:
    """Write a change down and point the alias at its version; None if it points there already.

    Returns:
        The latest change: another process may have made one at the same time.
    """
    present = registry.version_at(CHAMPION)
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise UserError(
            f"--reason: expected 1 to {LONGEST_REASON} characters, found {len(reason)}; say why in a sentence"
        )
    if version == present:
        return None
    registry.files(version)
    if present is not None and by != GATE:
        # What a person replaced, the gate must not put back; first, or a kill here would let it.
        registry.tag(present, {WITHDRAWN: f"by {by} on {now()[:10]}: {reason.strip()}"})
    change = Change(kind, version, present, by, reason.strip(), _later(registry))
    kept = {name: value for name, value in change.as_dict().items() if name not in ("version", "time")}
    registry.tag(version, {f"{SINCE}{change.time}": json.dumps(kept, ensure_ascii=False)})
    registry.untag(version, WITHDRAWN)
    # Of several that move the alias at once, each comes here and follows the latest change, so that all agree.
    latest = history(registry)[-1]
    while registry.point(CHAMPION, latest.version):
        latest = history(registry)[-1]
    return latest


def _later(registry: Registry) -> str:
    """The time of a change: now, or just after the last one where a clock was set back or another's is ahead."""
    changes = history(registry)
    if not changes or now() > changes[-1].time:
        return now()
    last = datetime.fromisoformat(changes[-1].time)
    return (last + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
