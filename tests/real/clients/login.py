"""Logs in by IMAP once, looks into INBOX and leaves."""
import imaplib
import json
import sys

given = json.loads(sys.argv[1])
imap = imaplib.IMAP4("localhost", given["imap"])
imap.login(given["user"], given["password"])
assert imap.select("INBOX")[0] == "OK"
imap.logout()
