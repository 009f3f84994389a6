//! Files that prove something: read whole, away from the runtime, bounded in length and in time.
//!
//! Does not know what is in them. Nothing is kept: what was renewed is used from then on.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use crate::secret::Secret;

/// How long reading may take: a file may lie on a server that is away.
const READING: Duration = Duration::from_secs(5);

/// Reads a file of at most so many bytes, or says why not.
pub(super) async fn read(path: &Path, most: u64) -> Result<Secret<Vec<u8>>, String> {
    let named = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(named)?;
        // Whoever wrote a pipe's or a device's name here would wait for ever.
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        let mut content = Vec::new();
        file.take(most + 1).read_to_end(&mut content)?;
        Ok(Secret::new(content))
    });
    let content = match tokio::time::timeout(READING, reading).await {
        Ok(Ok(Ok(content))) => content,
        Ok(Ok(Err(error))) => return Err(format!("it could not be read: {error}")),
        Ok(Err(_)) => return Err("it could not be read".to_owned()),
        Err(_) => {
            let seconds = READING.as_secs();
            return Err(format!("it could not be read within {seconds} s"));
        }
    };
    let length = content.reveal().len();
    if u64::try_from(length).map_or(true, |length| length > most) {
        return Err(format!("it is longer than {most} bytes"));
    }
    Ok(content)
}
