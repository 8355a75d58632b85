# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The handshake by which two ends of a connection show that they have the same key.

Both generations of multiprocessing's are spoken: that of Python 3.12 and later, in which a
challenge names a digest, and the one before, which is HMAC-MD5 without a name. Each step is
a message of at most MAX_LENGTH bytes. The steps are generators, which yield bytes that are
to be sent, or None when the next message is to be given to them; so that one thread can
go through many handshakes at a time.
"""

import os

from ._raw import AuthenticationError

__all__ = ["CHALLENGE", "FAILURE", "WELCOME", "MAX_LENGTH", "answer_challenge",
           "deliver_challenge"]

CHALLENGE, WELCOME, FAILURE = b"#CHALLENGE#", b"#WELCOME#", b"#FAILURE#"
MAX_LENGTH = 256

_NONCE_LENGTH = 40
# A challenge of just this length is one of the older generation.
_LEGACY_LENGTH = 20
_LEGACY_DIGEST, _LEGACY_REPLY_LENGTH = "md5", 16
_DIGESTS = ("md5", "sha256", "sha384", "sha3_256", "sha3_384")


def check_key(authkey):
    """TypeError unless it is a key."""
    if not isinstance(authkey, bytes):
        raise TypeError(f"authkey must be bytes, not {type(authkey).__name__}")


def deliver_challenge(connection, authkey, digest_name="sha256"):
    """Makes the other end show that it has authkey, else raises AuthenticationError."""
    _drive(connection, deliver(_bytes(authkey), digest_name))


def answer_challenge(connection, authkey):
    """Shows the other end that this one has authkey; AuthenticationError if it is rejected."""
    _drive(connection, answer(_bytes(authkey)))


def serve(authkey):
    """The steps of the end that listens; True when both ends have shown the key."""
    yield from deliver(authkey)
    yield from answer(authkey)
    return True


def join(authkey):
    """The steps of the end that connects; True as above."""
    yield from answer(authkey)
    yield from deliver(authkey)
    return True


def deliver(authkey, digest_name="sha256"):
    """The steps of deliver_challenge()."""
    if digest_name not in _DIGESTS:
        raise ValueError(f"no digest for a challenge: {digest_name!r}")
    challenge = f"{{{digest_name}}}".encode() + os.urandom(_NONCE_LENGTH)
    yield CHALLENGE + challenge
    reply = yield
    try:
        _verify(authkey, challenge, reply)
    except AuthenticationError:
        yield FAILURE
        raise
    yield WELCOME


def answer(authkey):
    """The steps of answer_challenge()."""
    message = yield
    if not message.startswith(CHALLENGE):
        raise AuthenticationError(f"a challenge was expected, not {message[:20]!r}")
    challenge = message[len(CHALLENGE):]
    if len(challenge) < _LEGACY_LENGTH:
        raise AuthenticationError(f"a challenge of {len(challenge)} bytes is too short")
    if len(challenge) == _LEGACY_LENGTH:
        yield _mac(authkey, challenge, _LEGACY_DIGEST)
    else:
        name, _rest = _split(challenge)
        yield f"{{{name}}}".encode() + _mac(authkey, challenge, name)
    verdict = yield
    if verdict != WELCOME:
        raise AuthenticationError("the other end has rejected the digest that was sent")


def _bytes(authkey):
    if not isinstance(authkey, bytes):
        raise ValueError(f"authkey must be bytes, not {type(authkey).__name__}")
    return authkey


def _split(message):
    """The name of the digest that a message begins with, and what follows."""
    if message[:1] == b"{":
        name, brace, rest = message[1:].partition(b"}")
        if brace and name.isascii() and name.decode() in _DIGESTS:
            return name.decode(), rest
    raise AuthenticationError(f"no digest is known for a message that begins with "
                              f"{message[:20]!r}")


def _mac(authkey, challenge, name):
    try:
        import hmac
        return hmac.new(authkey, challenge, name).digest()
    except ValueError as error:
        # As md5, where the system forbids it.
        raise AuthenticationError(f"the digest {name} is not available: {error}") from error


def _verify(authkey, challenge, reply):
    if len(reply) == _LEGACY_REPLY_LENGTH:
        name, mac = _LEGACY_DIGEST, reply
    else:
        name, mac = _split(reply)
    import hmac
    if not hmac.compare_digest(mac, _mac(authkey, challenge, name)):
        raise AuthenticationError("the digest that was received is wrong")


def _drive(connection, steps):
    """Goes through the steps with what has send_bytes() and recv_bytes()."""
    try:
        step = next(steps)
        while True:
            if step is None:
                step = steps.send(connection.recv_bytes(MAX_LENGTH))
            else:
                connection.send_bytes(step)
                step = next(steps)
    except StopIteration:
        pass
