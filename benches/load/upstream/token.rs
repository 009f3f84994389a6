//! A token endpoint that gives everybody a token for a day (RFC 6749 section 5.1).

use std::io;

use tokio::net::TcpStream;

use crate::wire::Wire;

/// Answers the requests of one connection.
pub(crate) async fn answer(stream: TcpStream, length: usize) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    loop {
        let mut body = 0;
        loop {
            let line = wire.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                body = value.trim().parse().unwrap_or(0);
            }
        }
        wire.skip(body).await?;
        let token = "t".repeat(length);
        let json =
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":86400}}"#);
        let length = json.len();
        wire.send(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: {length}\r\n\r\n{json}"
            )
            .as_bytes(),
        )
        .await?;
    }
}
