<?php
// Sends as an appliance written in PHP does, with PHPMailer, and polls the mailbox with PHP's own IMAP functions.
declare(strict_types=1);

use PHPMailer\PHPMailer\PHPMailer;

const LIBRARY = '/usr/share/php/libphp-phpmailer/src';
require LIBRARY . '/Exception.php';
require LIBRARY . '/PHPMailer.php';
require LIBRARY . '/SMTP.php';

$given = json_decode($argv[1], true, 16, JSON_THROW_ON_ERROR);
$subject = bin2hex(random_bytes(16));

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = 'localhost';
$mail->Port = $given['smtp'];
$mail->SMTPAuth = true;
$mail->AuthType = $given['auth_type'];
$mail->Username = $given['user'];
$mail->Password = $given['password'];
$mail->SMTPKeepAlive = true;
$mail->SMTPSecure = ['none' => '', 'starttls' => PHPMailer::ENCRYPTION_STARTTLS, 'implicit' => PHPMailer::ENCRYPTION_SMTPS][$given['tls']];
// By default PHPMailer begins TLS whenever a server offers it.
$mail->SMTPAutoTLS = true;
$mail->SMTPOptions = ['ssl' => ['cafile' => $given['ca']]];
$mail->CharSet = PHPMailer::CHARSET_UTF8;
$mail->setFrom($given['user'], 'Größe');
$mail->addAddress($given['user']);
$mail->Subject = $subject;
$mail->Body = "Session approval\r\n.\r\nplease";
$mail->addStringAttachment(str_repeat("\0\1\2\r\n.\r\n", 5000), 'log.bin');
$mail->send();
// A second message over the same connection.
$mail->Subject = "$subject-2";
$mail->send();
$mail->smtpClose();

// The poller: logs in anew each time, as a scheduled job does.
$found = [];
for ($end = time() + 60; count($found) < 2 && time() < $end; usleep(50000)) {
    $box = imap_open('{localhost:' . $given['imap'] . '/imap/notls}INBOX', $given['user'], $given['password'], 0, 1);
    if ($box === false) {
        fwrite(STDERR, implode("\n", imap_errors() ?: ['no reason given']) . "\n");
        exit(1);
    }
    $found = imap_search($box, "SUBJECT \"$subject\"") ?: [];
    foreach (count($found) === 2 ? $found : [] as $number) {
        $part = base64_decode(imap_fetchbody($box, $number, '2'));
        if ($part !== str_repeat("\0\1\2\r\n.\r\n", 5000)) {
            fwrite(STDERR, "the attachment changed\n");
            exit(1);
        }
    }
    imap_close($box);
}
exit(count($found) === 2 ? 0 : 1);
