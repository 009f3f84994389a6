"""Sends a message by smtplib and reads it back by imaplib and poplib, with user and password alone."""
import imaplib
import json
import poplib
import smtplib
import sys

import mail

given = json.loads(sys.argv[1])
user, password, tls = given["user"], given["password"], given.get("tls", "none")
context = mail.context(given["ca"])
subject, sent = mail.message(user, given.get("size", 0))

if tls == "implicit":
    smtp = smtplib.SMTP_SSL("localhost", given["smtp"], context=context)
else:
    smtp = smtplib.SMTP("localhost", given["smtp"])
if tls == "starttls":
    smtp.starttls(context=context)
smtp.login(user, password)
assert not smtp.has_extn("starttls"), smtp.esmtp_features
smtp.sendmail(user, [user], sent)
if given.get("twice"):
    second, also_sent = mail.message(user)
    smtp.sendmail(user, [user], also_sent)
smtp.quit()

if tls == "implicit":
    imap = imaplib.IMAP4_SSL("localhost", given["imap"], ssl_context=context)
else:
    imap = imaplib.IMAP4("localhost", given["imap"])
if tls == "starttls":
    imap.starttls(ssl_context=context)
assert "LOGINDISABLED" not in imap.capabilities, imap.capabilities
imap.login(user, password)
mail.same(sent, mail.imap_fetch(imap, subject))
if given.get("twice"):
    mail.same(also_sent, mail.imap_fetch(imap, second))
if given.get("append"):
    subject_up, up = mail.message(user, given["append"])
    answer = imap.append("INBOX", None, None, up)
    assert answer[0] == "OK", answer
    mail.same(up, mail.imap_fetch(imap, subject_up))
imap.logout()

if tls == "implicit":
    pop = poplib.POP3_SSL("localhost", given["pop"], context=context)
else:
    pop = poplib.POP3("localhost", given["pop"])
if tls == "starttls":
    pop.stls(context=context)
pop.user(user)
pop.pass_(password)
mail.same(sent, mail.pop_fetch(pop, subject))
pop.quit()
