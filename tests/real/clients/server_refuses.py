"""Logs in with a password that the program believes and a token that the mail servers do not."""
import imaplib
import json
import poplib
import smtplib
import sys

given = json.loads(sys.argv[1])
user, password = given["user"], given["password"]

imap = imaplib.IMAP4("localhost", given["imap"])
try:
    imap.login(user, password)
    raise SystemExit("IMAP let somebody else in")
except imaplib.IMAP4.error as error:
    assert "[AUTHENTICATIONFAILED]" in str(error), error

pop = poplib.POP3("localhost", given["pop"])
try:
    pop.user(user)
    pop.pass_(password)
    raise SystemExit("POP let somebody else in")
except poplib.error_proto as error:
    assert "[AUTH]" in str(error), error

smtp = smtplib.SMTP("localhost", given["smtp"])
try:
    smtp.login(user, password)
    raise SystemExit("SMTP let somebody else in")
except smtplib.SMTPAuthenticationError as error:
    assert error.smtp_code == 535, error
