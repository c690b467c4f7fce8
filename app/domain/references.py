"""References: what a user writes for a file, and what it means, now or at an instant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

from app.database.statements import Connection, Row, Statement
from app.domain.validation import is_id, require_name
from app.errors import AppError, BadUserInputError, DatumPurgedError, NotFoundError, WrongStateError

_SCHEME = "datum://"


#: How many parts of an address name the container of the key: a bucket; an account or project, and a container in it.
_CONTAINERS = {"s3": 1, "gs": 1, "azure": 2, "swift": 2, "local": 1}
_WEB = ("http", "https")
_LONGEST_URL = 8192
#: What is shown of credentials.
MASK = "***"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """`s3://bucket/key` and its like; `local://<store>/key` for a local folder."""

    scheme: str
    container: tuple[str, ...]
    key: str

    @property
    def is_pattern(self) -> bool:
        return "*" in self.key

    def __str__(self) -> str:
        return f"{self.scheme}://{'/'.join(self.container)}/{self.key}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference as written, and the one thing it names: a datum by id, an alias of the project, or an object."""

    #: Without the credentials that an address of HTTP(S) may have.
    text: str
    datum_id: UUID | None = None
    alias: str | None = None
    #: An object in a store; it may be a pattern where several files are meant.
    address: StoreAddress | None = None
    #: An address of HTTP(S), credentials and all.
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Resolution:
    reference: Reference
    datum_id: UUID
    alias_id: UUID | None
    version: int | None


def parse_reference(text: str) -> Reference:
    """Reads `datum://<id>`, `datum://<alias>`, an address in a store, or one of HTTP(S).

    What has the form of an id is one, never an alias.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme in _CONTAINERS:
        return Reference(text, address=_parse_address(text, scheme, rest))
    if separator and scheme in _WEB:
        return Reference(_checked_url(text), url=text)
    if not text.startswith(_SCHEME):
        raise BadUserInputError(
            f"{without_credentials(text)!r} is no reference to a file; expected datum://<id>, datum://<alias>, a"
            " store's address such as s3://bucket/key, or https://…"
        )
    if is_id(rest):
        return Reference(text, datum_id=UUID(rest))
    return Reference(text, alias=require_name(f"the alias in {text}", rest))


def _parse_address(text: str, scheme: str, rest: str) -> StoreAddress:
    depth = _CONTAINERS[scheme]
    parts = rest.split("/", depth)
    container, key = tuple(parts[:depth]), parts[depth] if len(parts) > depth else ""
    if not all(container) or not key or len(key) > 1024 or any(each in {".", ".."} for each in key.split("/")):
        names = "/".join(["<bucket>"] if depth == 1 else ["<account>", "<container>"])
        raise BadUserInputError(f"{text!r} is no address of an object; expected {scheme}://{names}/<key>.")
    return StoreAddress(scheme, container, key)


def without_credentials(text: str) -> str:
    """A reference as it may be shown: user and password of an address of HTTP(S) read ***."""
    scheme, separator, rest = text.partition("://")
    place, slash, path = rest.partition("/")
    _, at, host = place.rpartition("@")
    if not separator or not at or scheme in _CONTAINERS:
        return text
    return f"{scheme}://{MASK}@{host}{slash}{path}"


def _checked_url(text: str) -> str:
    shown = without_credentials(text)
    try:
        parts = urlsplit(text)
        sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or not text.isprintable() or " " in text or len(text) > _LONGEST_URL:
        raise BadUserInputError(f"{shown!r} is no address of HTTP; expected a form such as https://host/path.")
    return shown


def parse_datum(text: str) -> Reference:
    """Reads what an argument `datum` takes: a bare id, or any reference."""
    return Reference(text, datum_id=UUID(text)) if is_id(text) else parse_reference(text)


_NOW = Statement("""
    SELECT wanted.position, alias.id AS alias_id, alias.version, datum.id AS datum_id, datum.status, datum.purged_at,
        false AS is_future
    FROM unnest(:datum_ids ::uuid[], :aliases ::text[]) WITH ORDINALITY AS wanted (datum_id, alias, position)
    LEFT JOIN alias ON alias.project_id = :project_id AND alias.name = wanted.alias
    LEFT JOIN datum ON datum.project_id = :project_id AND datum.id = coalesce(wanted.datum_id, alias.datum_id)
    ORDER BY wanted.position
""")

_AT = Statement("""
    SELECT wanted.position, alias.id AS alias_id, change.version, datum.id AS datum_id, datum.status, datum.purged_at,
        :at > clock_timestamp() AS is_future
    FROM unnest(:datum_ids ::uuid[], :aliases ::text[]) WITH ORDINALITY AS wanted (datum_id, alias, position)
    LEFT JOIN alias ON alias.project_id = :project_id AND alias.name = wanted.alias
    LEFT JOIN LATERAL (
        SELECT version, to_datum_id FROM alias_history
        WHERE alias_id = alias.id AND at <= :at ORDER BY at DESC LIMIT 1
    ) AS change ON true
    LEFT JOIN datum ON datum.project_id = :project_id AND datum.id = coalesce(wanted.datum_id, change.to_datum_id)
    ORDER BY wanted.position
""")


_ADOPTED = Statement("""
    SELECT DISTINCT ON (wanted.position) wanted.position, datum.id
    FROM unnest(:schemes ::text[], :containers ::text[], :keys ::text[]) WITH ORDINALITY
        AS wanted (scheme, container, key, position)
    JOIN data_store ON data_store.project_id = :project_id
        AND data_store.address = wanted.scheme || '://' || wanted.container
    JOIN datum ON datum.project_id = :project_id AND datum.store_id = data_store.id AND datum.object_key = wanted.key
    WHERE datum.origin = 'ADOPTED' AND datum.status = 'AVAILABLE'
    ORDER BY wanted.position, datum.created_at DESC
""")


async def resolve(
    connection: Connection, project_id: UUID, references: Sequence[Reference], at: dt.datetime | None = None
) -> list[Resolution | AppError]:
    """What each reference means, all in one snapshot; in place of one that means nothing stands the error."""
    adopted = await adopted_data(connection, project_id, [each.address for each in references if each.address])
    values = {
        "project_id": project_id,
        "datum_ids": [
            adopted.get(reference.address) if reference.address else reference.datum_id for reference in references
        ],
        "aliases": [reference.alias for reference in references],
    }
    if at is None:
        rows = await _NOW.fetch(connection, **values)
    else:
        rows = await _AT.fetch(connection, at=at, **values)
        if rows and rows[0]["is_future"]:
            raise future_instant(at)
    return [_resolution(reference, row, at) for reference, row in zip(references, rows, strict=True)]


async def adopted_data(
    connection: Connection, project_id: UUID, addresses: Sequence[StoreAddress]
) -> dict[StoreAddress, UUID]:
    """The newest datum that was made of each object and is still what it was."""
    if not addresses:
        return {}
    rows = await _ADOPTED.fetch(
        connection,
        project_id=project_id,
        schemes=[each.scheme for each in addresses],
        containers=["/".join(each.container) for each in addresses],
        keys=[each.key for each in addresses],
    )
    return {addresses[row["position"] - 1]: row["id"] for row in rows}


def _resolution(reference: Reference, row: Row, at: dt.datetime | None) -> Resolution | AppError:
    fault = datum_fault(reference, row["datum_id"], row["status"], row["purged_at"], at)
    return fault or Resolution(reference, row["datum_id"], row["alias_id"], row["version"])


def datum_fault(
    reference: Reference,
    datum_id: UUID | None,
    status: str | None,
    purged_at: dt.datetime | None,
    at: dt.datetime | None = None,
) -> AppError | None:
    """Why the file that a reference means cannot be used; None when it can."""
    if datum_id is None:
        when = f" at {at.isoformat()}" if at else ""
        if reference.alias is not None:
            return NotFoundError(
                f"{reference.text} means nothing{when}: no alias {reference.alias!r} points at a file."
            )
        if reference.address is not None:
            return NotFoundError(f"{reference.text} has not been adopted{when}; adoptDatum makes a datum of an object.")
        if reference.url is not None:
            return BadUserInputError(
                f"{reference.text} is no file of this project; only executions take such an input."
            )
        return NotFoundError(f"There is no datum {reference.datum_id} in this project.")
    if status == "PURGED" and purged_at is not None:
        return DatumPurgedError(
            f"{reference.text} means datum {datum_id}, which was purged at {purged_at.isoformat()}.",
            datumId=str(datum_id),
            purgedAt=purged_at.isoformat(),
        )
    if status != "AVAILABLE":
        return WrongStateError(
            f"{reference.text} means datum {datum_id}, which is {status}; only AVAILABLE files can be used.",
            datumId=str(datum_id),
            status=status,
        )
    return None


def future_instant(at: dt.datetime) -> BadUserInputError:
    return BadUserInputError(f"at is {at.isoformat()}, which is in the future; what is then in force cannot be known.")
