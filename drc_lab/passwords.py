"""Passwords and tokens in URIs, which are neither written nor printed. Light to import."""

import re

HIDDEN = "***"
OF_USER = re.compile(r"(?<=://)([^/\s:@]*):[^/\s]*@")  # ://user:password@
ALONE = re.compile(r"(?<=http://|ttps://)[^/\s:@]+@")  # https://token@: of no use to a server but as a secret
NAMED = re.compile(r"([?&][\w.-]*(?:pass|pwd|token|secret|key|cred|sig)[\w.-]*=)[^&\s'\"]+", re.IGNORECASE)


def hidden(text: str) -> str:
    """A text with ``***`` in place of the passwords and tokens in its URIs."""
    text = OF_USER.sub(rf"\1:{HIDDEN}@", text)
    text = ALONE.sub(f"{HIDDEN}@", text)
    return NAMED.sub(rf"\1{HIDDEN}", text)
