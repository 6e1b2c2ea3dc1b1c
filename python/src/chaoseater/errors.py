# SPDX-License-Identifier: MIT
"""What goes wrong, as exceptions. Their text is the C library's one sentence, with the place before it."""

from __future__ import annotations

import errno

__all__ = ["BadInput", "ChaosError", "Dirty", "NotPossible", "Stopped", "Unknown"]


class ChaosError(Exception):
    """The base of all of them, and what is none of the others: no memory, a full disk, a server that is out of reach."""

    def __init__(self, message: str, *, code: int = 0, where: str = "") -> None:
        super().__init__(message, code, where)
        self.message = message
        self.code = code
        """A positive errno value."""
        self.where = where
        """Where in the input, as in ``plan.yaml:14:9``; "" when no input is at fault."""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.code, self.where)


class BadInput(ChaosError, ValueError):
    """A document, a parameter, a file or a table that cannot be used as it is."""


class Unknown(ChaosError, ValueError):
    """Something is called by a name that it does not have. The sentence says which one was probably meant."""


class NotPossible(ChaosError, OSError):
    """This host, or this user, cannot do it."""

    def __init__(self, message: str, *, code: int = errno.ENOTSUP, where: str = "") -> None:
        super().__init__(message, code=code, where=where)
        self.errno = code
        self.strerror = message


class Dirty(ChaosError):
    """An earlier run has left something that could not be put back: see :func:`chaoseater.recover`."""


class Stopped(ChaosError):
    """Somebody has ended all runs of this host, and no new ones are started until that is released."""


_BY_CODE: dict[int, type[ChaosError]] = {
    errno.EINVAL: BadInput,
    errno.ERANGE: BadInput,
    errno.E2BIG: BadInput,
    errno.EPROTO: BadInput,
    errno.EBADMSG: BadInput,
    errno.EEXIST: BadInput,
    errno.ENOENT: Unknown,
    errno.ENOTSUP: NotPossible,
    errno.EACCES: NotPossible,
    errno.EPERM: NotPossible,
    errno.EUCLEAN: Dirty,
    errno.ECANCELED: Stopped,
}


def from_core(code: int, where: str, message: str) -> Exception:
    """The exception for an error of the C library."""
    if code == errno.ENOMEM:
        return MemoryError(message)
    return _BY_CODE.get(code, ChaosError)(message, code=code, where=where)


def _rebuild(kind: type[ChaosError], message: str, code: int, where: str) -> ChaosError:
    return kind(message, code=code, where=where)
