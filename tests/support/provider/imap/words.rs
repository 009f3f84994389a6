//! IMAP commands as words: atoms, quoted strings, literals, parenthesised groups.

use super::super::talk::Talk;

/// One command.
pub struct Command {
    /// The tag.
    pub tag: String,
    /// The verb, upper case.
    pub verb: String,
    /// Whether `UID` came before it.
    pub by_uid: bool,
    /// Its arguments.
    pub words: Vec<Vec<u8>>,
}

impl Command {
    /// Returns an argument as text, empty where there is none.
    pub fn text(&self, index: usize) -> String {
        self.words
            .get(index)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .unwrap_or_default()
    }
}

/// Hears one command, its literals included; `None` when the client is gone.
pub async fn hear(talk: &mut Talk) -> Option<Command> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    loop {
        let line = talk.bytes().await?;
        let (line, literal) = split_literal(&line);
        words.extend(split(line));
        let Some((count, wait)) = literal else {
            break;
        };
        if wait {
            talk.say("+ go ahead").await?;
        }
        words.push(talk.octets(count).await?);
    }
    let mut words = words.into_iter();
    let mut next = || {
        let word = words.next().unwrap_or_default();
        String::from_utf8_lossy(&word).into_owned()
    };
    let tag = next();
    let mut verb = next().to_ascii_uppercase();
    let by_uid = verb == "UID";
    if by_uid {
        verb = next().to_ascii_uppercase();
    }
    Some(Command {
        tag,
        verb,
        by_uid,
        words: words.collect(),
    })
}

/// Cuts `{n}` or `{n+}` off the end of a line; tells the count and whether the client waits for us.
fn split_literal(line: &[u8]) -> (&[u8], Option<(usize, bool)>) {
    let found = line.strip_suffix(b"}").and_then(|rest| {
        let open = rest.iter().rposition(|&byte| byte == b'{')?;
        let number = std::str::from_utf8(&rest[open + 1..]).ok()?;
        let (number, wait) = number
            .strip_suffix('+')
            .map_or((number, true), |number| (number, false));
        Some((open, number.parse().ok()?, wait))
    });
    match found {
        Some((open, count, wait)) => (&line[..open], Some((count, wait))),
        None => (line, None),
    }
}

/// Splits at blanks; quoted strings lose their quotes, groups in `(..)` and `[..]` stay together as they are.
pub fn split(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut depth = 0;
    let mut quoted = false;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                quoted = !quoted;
                let word = word.get_or_insert_default();
                if depth > 0 {
                    word.push(byte);
                }
            }
            b'\\' if quoted => word.get_or_insert_default().extend(bytes.next()),
            b' ' if !quoted && depth == 0 => words.extend(word.take()),
            _ => {
                match byte {
                    b'(' | b'[' if !quoted => depth += 1,
                    b')' | b']' if !quoted => depth -= 1,
                    _ => {}
                }
                word.get_or_insert_default().push(byte);
            }
        }
    }
    words.extend(word);
    words
}
