"""What the Python clients share: a message that must come back unchanged, and looking for it."""
import imaplib
import poplib
import ssl
import time
import uuid


def message(user, size=0):
    """Returns a subject nobody else uses, and the bytes of a message with awkward lines and at least `size` bytes."""
    subject = str(uuid.uuid4())
    lines = [
        f"From: {user}",
        f"To: {user}",
        f"Subject: {subject}",
        f"Message-ID: <{subject}@example.com>",
        "Date: Mon, 24 Nov 2025 10:00:00 +0000",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        "hello",
        "",
        ".a line that begins with a dot",
        "..",
        "QUIT",
        "a1 LOGOUT",
        "* OK [CAPABILITY AUTH=XOAUTH2 STARTTLS]",
        "From here",
        "grüße, 你好",
        "x" * 900,
    ]
    text = "\r\n".join(lines).encode() + b"\r\n"
    count = 0
    parts = []
    while len(text) + count * 78 < size:
        parts.append(f"{count:010}{'abcdefghijklmnop' * 4}{count % 100:02}\r\n".encode())
        count += 1
    return subject, text + b"".join(parts)


def context(ca, certificate=None, key=None):
    """Returns a TLS context that believes the tests' own authority."""
    made = ssl.create_default_context(cafile=ca)
    if certificate:
        made.load_cert_chain(certificate, key)
    return made


def until(what, look, seconds=60):
    """Calls `look` until it returns something: delivery is the servers' affair and takes its time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = look()
        if seen is not None:
            return seen
        time.sleep(0.05)
    raise SystemExit(f"waited in vain for {what}")


def imap_fetch(imap, subject):
    """Waits for the message in INBOX and returns its bytes."""
    def look():
        imap.select("INBOX")
        found = imap.search(None, "HEADER", "Subject", f'"{subject}"')[1][0].split()
        return found[0] if found else None
    number = until("the message in IMAP", look)
    return imap.fetch(number, "(BODY.PEEK[])")[1][0][1]


def pop_fetch(pop, subject):
    """Returns the message's bytes from a POP session that began after delivery."""
    for number in range(1, len(pop.list()[1]) + 1):
        head = b"\n".join(pop.top(number, 0)[1])
        if subject.encode() in head:
            return b"\r\n".join(pop.retr(number)[1]) + b"\r\n"
    raise SystemExit("the message is not in the POP mailbox")


def same(sent, received):
    """Checks that what was received is what was sent, below the trace lines of the servers."""
    if not received.endswith(sent):
        raise SystemExit(f"the message changed: {len(sent)} bytes sent, {len(received)} received\n{received[-400:]!r}")


poplib._MAXLINE = 20480
imaplib._MAXLINE = 10_000_000
