"""Logs in as programs do that know nothing but tokens, with the mail password in the token's place."""

import imaplib
import json
import smtplib
import sys

settings = json.loads(sys.argv[1])
user, password = settings["user"], settings["password"]
xoauth2 = f"user={user}\x01auth=Bearer {password}\x01\x01"
oauthbearer = f"n,a={user},\x01host=localhost\x01port=1\x01auth=Bearer {password}\x01\x01"

for mechanism, message in (("XOAUTH2", xoauth2), ("OAUTHBEARER", oauthbearer)):
    imap = imaplib.IMAP4("localhost", settings["imap"], timeout=30)
    assert f"AUTH={mechanism}" not in imap.capabilities, imap.capabilities
    imap.authenticate(mechanism, lambda _: message.encode())
    assert imap.select("INBOX")[0] == "OK"
    imap.logout()

    wrong = imaplib.IMAP4("localhost", settings["imap"], timeout=30)
    try:
        wrong.authenticate(mechanism, lambda _: message.replace(password, "wrong").encode())
        sys.exit(f"{mechanism}: a wrong password was let in")
    except imaplib.IMAP4.error:
        pass
    wrong.logout()

    for at_once in (True, False):
        smtp = smtplib.SMTP("localhost", settings["smtp"], timeout=30)
        smtp.ehlo()
        assert mechanism not in smtp.esmtp_features["auth"], smtp.esmtp_features
        code, said = smtp.auth(mechanism, lambda challenge=None: message, initial_response_ok=at_once)
        assert code == 235, (code, said)
        smtp.quit()
