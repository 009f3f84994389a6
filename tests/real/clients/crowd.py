"""Opens many connections that all begin before the first logs in, logs all in at once and keeps them all busy."""
import imaplib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

given = json.loads(sys.argv[1])
count = given["count"]
together = Barrier(count, timeout=60)


def one(_):
    imap = imaplib.IMAP4("localhost", given["imap"])
    together.wait()
    imap.login(given["user"], given["password"])
    together.wait()
    assert imap.select("INBOX")[0] == "OK"
    for _ in range(5):
        assert imap.noop()[0] == "OK"
    together.wait()
    imap.logout()


with ThreadPoolExecutor(count) as pool:
    for _ in pool.map(one, range(count)):
        pass
