"""A Django application (as Tethys Portal is one) sends through its SMTP back end, with each of its TLS settings."""
import imaplib
import json
import sys
import uuid

from django.conf import settings

import mail

given = json.loads(sys.argv[1])
user, password, tls = given["user"], given["password"], given["tls"]
settings.configure(
    EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
    EMAIL_HOST="localhost",
    EMAIL_PORT=given["smtp"],
    EMAIL_HOST_USER=user,
    EMAIL_HOST_PASSWORD=password,
    EMAIL_USE_TLS=tls == "starttls",
    EMAIL_USE_SSL=tls == "implicit",
    DEFAULT_FROM_EMAIL=user,
    USE_TZ=True,
)

from django.core.mail import EmailMessage, get_connection, send_mail  # noqa: E402  (needs the settings above)

subject = str(uuid.uuid4())
assert send_mail(subject, "Grüße\n.\nfrom Django", None, [user]) == 1

# Several messages over one connection, as a notification run sends them.
with get_connection() as connection:
    more = [EmailMessage(f"{subject}-{n}", "body", user, [user], connection=connection) for n in range(3)]
    assert connection.send_messages(more) == 3

imap = imaplib.IMAP4("localhost", given["imap"])
imap.login(user, password)
for expected in [subject, *(f"{subject}-{n}" for n in range(3))]:
    assert b"From: " + user.encode() in mail.imap_fetch(imap, expected)
imap.logout()
