"""The failures that a caller can expect, each with the code that clients are written against.

`details` become further keys of a GraphQL error's `extensions`, beside `code`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class AppError(Exception):
    """A failure that is part of the contract: its message is shown to the caller as it stands."""

    code: ClassVar[str]

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"code": self.code, **self.details}


class UnauthenticatedError(AppError):
    code = "UNAUTHENTICATED"


class ForbiddenError(AppError):
    code = "FORBIDDEN"


class NotFoundError(AppError):
    code = "NOT_FOUND"


class AlreadyExistsError(AppError):
    code = "ALREADY_EXISTS"


class BadUserInputError(AppError):
    code = "BAD_USER_INPUT"


class ConflictError(AppError):
    """Somebody else was faster; `conflicts` lists each alias's `name`, `version` and `datumId` as they are now."""

    code = "CONFLICT"


class WrongStateError(AppError):
    code = "WRONG_STATE"


class LeaseLostError(AppError):
    """The worker that reports is not the one that the execution belongs to now."""

    code = "LEASE_LOST"


class AliasInUseError(AppError):
    code = "ALIAS_IN_USE"


class DatumPurgedError(AppError):
    code = "DATUM_PURGED"


class ChecksumMismatchError(AppError):
    code = "CHECKSUM_MISMATCH"


class StoreUnavailableError(AppError):
    code = "STORE_UNAVAILABLE"


class IdempotencyMismatchError(AppError):
    code = "IDEMPOTENCY_MISMATCH"


class LimitExceededError(AppError):
    code = "LIMIT_EXCEEDED"
