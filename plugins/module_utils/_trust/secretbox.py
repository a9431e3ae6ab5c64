# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NaCl's secretbox (XSalsa20 with Poly1305), in which cosign keeps private keys; ``cryptography`` has no XSalsa20.

Source: D. J. Bernstein, "Extending the Salsa20 nonce" and "Cryptography in NaCl". The cipher is plain Python: a key has
at most a few thousand bytes, and deriving its password takes far longer.
"""

from __future__ import annotations

import struct

KEY_SIZE, NONCE_SIZE, TAG_SIZE = 32, 24, 16

_BLOCK_SIZE = 64
_DOUBLE_ROUNDS = 10
_WORD = 0xFFFFFFFF
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
# the columns, then the rows, of the 4 x 4 matrix of words
_QUARTERS = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip


def open_box(box: bytes, nonce: bytes, key: bytes) -> bytes:
    """Decrypt what :func:`seal` made.

    :raises ValueError: when key or nonce have another size, or the box was not made with them.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    _check_sizes(nonce, key)
    tag, encrypted = box[:TAG_SIZE], box[TAG_SIZE:]
    stream = xsalsa20(key, nonce, 32 + len(encrypted))
    try:
        Poly1305.verify_tag(stream[:32], encrypted, tag)
    except InvalidSignature:
        raise ValueError("the box was not made with this key and nonce") from None
    return _xor(encrypted, stream[32:])


def seal(message: bytes, nonce: bytes, key: bytes) -> bytes:
    """Encrypt; a nonce must never be used twice with one key.

    :raises ValueError: when key or nonce have another size.
    """
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    _check_sizes(nonce, key)
    stream = xsalsa20(key, nonce, 32 + len(message))
    encrypted = _xor(message, stream[32:])
    return Poly1305.generate_tag(stream[:32], encrypted) + encrypted


def xsalsa20(key: bytes, nonce: bytes, length: int) -> bytes:
    """The first ``length`` bytes of the key stream."""
    subkey = hsalsa20(key, nonce[:16])
    stream = bytearray()
    for counter in range(-(-length // _BLOCK_SIZE)):
        start = _matrix(subkey, nonce[16:] + struct.pack("<Q", counter))
        words = ((before + after) & _WORD for before, after in zip(start, _mixed(start)))
        stream += struct.pack("<16I", *words)
    return bytes(stream[:length])


def hsalsa20(key: bytes, nonce: bytes) -> bytes:
    """The key for a nonce that begins with these 16 bytes."""
    words = _mixed(_matrix(key, nonce))
    return struct.pack("<8I", *(words[place] for place in (0, 5, 10, 15, 6, 7, 8, 9)))


def _matrix(key: bytes, block: bytes) -> list[int]:
    words, middle = struct.unpack("<8I", key), struct.unpack("<4I", block)
    return [_SIGMA[0], *words[:4], _SIGMA[1], *middle, _SIGMA[2], *words[4:], _SIGMA[3]]


def _mixed(matrix: list[int]) -> list[int]:
    words = list(matrix)
    for _round in range(_DOUBLE_ROUNDS):
        for a, b, c, d in _QUARTERS:
            words[b] ^= _rotated(words[a] + words[d], 7)
            words[c] ^= _rotated(words[b] + words[a], 9)
            words[d] ^= _rotated(words[c] + words[b], 13)
            words[a] ^= _rotated(words[d] + words[c], 18)
    return words


def _rotated(word: int, bits: int) -> int:
    word &= _WORD
    return ((word << bits) & _WORD) | (word >> (32 - bits))


def _xor(data: bytes, stream: bytes) -> bytes:
    return bytes(each ^ key for each, key in zip(data, stream))


def _check_sizes(nonce: bytes, key: bytes) -> None:
    if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
        raise ValueError(f"wanted a key of {KEY_SIZE} and a nonce of {NONCE_SIZE} bytes")
