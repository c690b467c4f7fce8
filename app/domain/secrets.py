"""Encrypting what is secret at rest, signing links, and recognising secrets without keeping them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class SecretBox:
    """Derives one key per purpose from the operator's secret key (any text of 32 characters or more).

    Several keys, parted by commas, are for changing keys: the first one encrypts and signs, all of them decrypt.
    """

    def __init__(self, secret_key: str) -> None:
        def derive(key: str, purpose: bytes) -> bytes:
            return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(key.encode())

        keys = secret_key.split(",")
        self._encryption = MultiFernet(
            [Fernet(base64.urlsafe_b64encode(derive(key, b"waymark encryption"))) for key in keys]
        )
        self._signing = derive(keys[0], b"waymark signing")
        self._fingerprints = derive(keys[0], b"waymark fingerprints")

    def encrypt(self, plain: str) -> str:
        return self._encryption.encrypt(plain.encode()).decode()

    def decrypt(self, cipher: str) -> str:
        return self._encryption.decrypt(cipher.encode()).decode()

    def sign(self, message: str) -> str:
        """An unforgeable signature of a message, fit for an address."""
        digest = hmac.digest(self._signing, message.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def is_signed(self, message: str, signature: str) -> bool:
        return hmac.compare_digest(self.sign(message).encode(), signature.encode())

    def fingerprint(self, content: bytes) -> bytes:
        """Tells whether two inputs are the same, without giving away a weak secret in them."""
        return hmac.digest(self._fingerprints, content, "sha256")


def new_token() -> str:
    return "wm_" + secrets.token_urlsafe(32)


def token_hash(secret: str) -> bytes:
    """What is kept of a token. Tokens have 256 random bits, so a plain hash cannot be guessed backwards."""
    return hashlib.sha256(secret.encode()).digest()
