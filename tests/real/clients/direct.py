"""Speaks XOAUTH2 to the servers without the program: shows that nothing else would let anybody in."""
import base64
import imaplib
import json
import poplib
import smtplib
import sys

import mail

given = json.loads(sys.argv[1])
user, token = given["user"], given["token"]
context = mail.context(given["ca"])
xoauth2 = f"user={user}\x01auth=Bearer {token}\x01\x01"
encoded = base64.b64encode(xoauth2.encode()).decode()


def two_step(smtp, text):
    code, said = smtp.docmd("AUTH", "XOAUTH2")
    assert code == 334, (code, said)
    return smtp.docmd(base64.b64encode(text.encode()).decode())


for port in (given["dovecot_submission"], given["postfix_submission"]):
    with smtplib.SMTP("localhost", port) as smtp:
        smtp.starttls(context=context)
        smtp.ehlo()
        assert set(smtp.esmtp_features["auth"].split()) <= {"XOAUTH2", "OAUTHBEARER"}, smtp.esmtp_features
        wrong = f"user={user}\x01auth=Bearer nonsense\x01\x01"
        code, challenge = two_step(smtp, wrong)
        assert code == 334, (code, challenge)
        code, said = smtp.docmd("")
        assert code == 535, (code, said)
        code, said = two_step(smtp, xoauth2)
        assert code == 235, (code, said)
        subject, sent = mail.message(user)
        smtp.sendmail(user, [user], sent)
    imap = imaplib.IMAP4_SSL("localhost", given["imaps"], ssl_context=context)
    assert "LOGINDISABLED" in imap.capabilities or "AUTH=PLAIN" not in imap.capabilities
    imap.authenticate("XOAUTH2", lambda _: xoauth2.encode())
    mail.same(sent, mail.imap_fetch(imap, subject))
    imap.logout()
    pop = poplib.POP3_SSL("localhost", given["pops"], context=context)
    assert "PLAIN" not in pop.capa().get("SASL", []), pop.capa()
    pop._shortcmd("AUTH XOAUTH2")
    pop._shortcmd(encoded)
    mail.same(sent, mail.pop_fetch(pop, subject))
    pop.quit()

# Somebody else's token, or nobody's, opens nothing.
stranger = imaplib.IMAP4_SSL("localhost", given["imaps"], ssl_context=context)
other = f"user={given['other']}\x01auth=Bearer {token}\x01\x01".encode()
try:
    stranger.authenticate("XOAUTH2", lambda challenge: b"" if challenge else other)
    opened = True
except imaplib.IMAP4.error:
    opened = False
assert opened == given["opens_any_mailbox"], opened
