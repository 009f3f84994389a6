"""Sends a one-time password as LinOTP's SMTPEmailProvider does.

Its settings are SMTP_SERVER, SMTP_PORT, SMTP_USER, SMTP_PASSWORD, EMAIL_FROM, EMAIL_SUBJECT and the switches
START_TLS, START_TLS_KEYFILE, START_TLS_CERTFILE, USE_SSL, KEYFILE, CERTFILE.
"""
import imaplib
import json
import smtplib
import sys
import uuid
from email.mime.text import MIMEText

import mail

given = json.loads(sys.argv[1])
user, password = given["user"], given["password"]
context = mail.context(given["ca"], given.get("certificate"), given.get("key"))

if given["tls"] == "implicit":
    smtp = smtplib.SMTP_SSL("localhost", given["smtp"], context=context)
else:
    smtp = smtplib.SMTP("localhost", given["smtp"])
smtp.ehlo()
if given["tls"] == "starttls":
    assert smtp.has_extn("STARTTLS"), smtp.esmtp_features
    smtp.starttls(context=context)
    smtp.ehlo()
assert smtp.has_extn("AUTH"), smtp.esmtp_features
smtp.login(user, password)
subject = str(uuid.uuid4())
text = MIMEText("Your one-time password is 123456.", "plain", "utf-8")
text["Subject"], text["From"], text["To"] = subject, user, user
assert smtp.sendmail(user, [user], text.as_string()) == {}
smtp.quit()

imap = imaplib.IMAP4("localhost", given["imap"])
imap.login(user, password)
assert subject.encode() in mail.imap_fetch(imap, subject)
imap.logout()
