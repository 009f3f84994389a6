"""Logs in with a wrong password everywhere, is told why, and succeeds on the same connections with the right one."""
import imaplib
import json
import poplib
import smtplib
import sys

import mail

given = json.loads(sys.argv[1])
user, password = given["user"], given["password"]

smtp = smtplib.SMTP("localhost", given["smtp"])
try:
    smtp.login(user, "wrong")
    raise SystemExit("SMTP took a wrong password")
except smtplib.SMTPAuthenticationError as error:
    assert error.smtp_code == 535, error
smtp.login(user, password)
smtp.quit()

imap = imaplib.IMAP4("localhost", given["imap"])
try:
    imap.login(user, "wrong")
    raise SystemExit("IMAP took a wrong password")
except imaplib.IMAP4.error as error:
    assert "[AUTHENTICATIONFAILED]" in str(error), error
imap.login(user, password)
imap.logout()

pop = poplib.POP3("localhost", given["pop"])
try:
    pop.user(user)
    pop.pass_("wrong")
    raise SystemExit("POP took a wrong password")
except poplib.error_proto as error:
    assert "[AUTH]" in str(error), error
pop.user(user)
pop.pass_(password)
pop.quit()
