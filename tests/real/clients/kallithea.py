"""Sends a notification as Kallithea does, by its settings smtp_use_tls, smtp_use_ssl and smtp_auth.

`smtp_auth` is a list of mechanisms to use in place of what the server offers.
"""
import imaplib
import json
import smtplib
import sys
import uuid

import mail

given = json.loads(sys.argv[1])
user, password = given["user"], given["password"]
context = mail.context(given["ca"])

if given.get("smtp_use_ssl"):
    smtp = smtplib.SMTP_SSL("localhost", given["smtp"], context=context)
else:
    smtp = smtplib.SMTP("localhost", given["smtp"])
smtp.ehlo()
if given.get("smtp_use_tls"):
    smtp.starttls(context=context)
    smtp.ehlo()
if given.get("smtp_auth"):
    smtp.esmtp_features["auth"] = given["smtp_auth"]
smtp.login(user, password)
subject = str(uuid.uuid4())
smtp.sendmail(user, [user], f"From: {user}\r\nTo: {user}\r\nSubject: {subject}\r\n\r\npull request\r\n")
try:
    smtp.quit()
except smtplib.SMTPServerDisconnected as error:
    raise SystemExit(f"no goodbye: {error}") from error

imap = imaplib.IMAP4("localhost", given["imap"])
imap.login(user, password)
assert b"pull request" in mail.imap_fetch(imap, subject)
imap.logout()
