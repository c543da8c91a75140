//! Server-sent events out of bytes, however they are cut. Pure.

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The `id` in force.
    pub id: Option<String>,
    /// The `event` name, if given.
    pub name: Option<String>,
    /// Its data lines, joined by line feeds.
    pub data: String,
}

/// Takes a stream of events apart.
#[derive(Debug)]
pub struct SseParser {
    /// Longest event, in bytes.
    most: usize,
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    last_id: Option<String>,
}

impl SseParser {
    /// A parser that refuses events longer than `most` bytes.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            line: Vec::new(),
            event: SseEvent::default(),
            has_data: false,
            last_id: None,
        }
    }

    /// Takes the next bytes and gives the events that are whole. An event that is too long, or no UTF-8, ends the stream.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, &'static str> {
        let mut out = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            self.keep(head)?;
            rest = tail.get(1..).unwrap_or(&[]);
            let line = std::mem::take(&mut self.line);
            let line = std::str::from_utf8(&line).map_err(|_| "an event is not UTF-8")?;
            out.extend(self.line(line.strip_suffix('\r').unwrap_or(line)));
        }
        self.keep(rest)?;
        Ok(out)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), &'static str> {
        let name = self.event.name.as_ref().map_or(0, String::len);
        if self.line.len() + self.event.data.len() + name + part.len() > self.most {
            return Err("an event is too long");
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then(|| SseEvent {
                id: self.last_id.clone(),
                ..event
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "id" => self.last_id = Some(value.to_string()),
            "event" => self.event.name = Some(value.to_string()),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 256;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let text =
            ": ping\r\n\r\nid: 7\nevent: jobs\ndata: {\"a\":\ndata: 1}\n\nid: 8\ndata:é\r\n\r\nretry: 5\n\ndata: half"
                .as_bytes();
        let whole = SseParser::new(MOST).push(text).unwrap();
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].data, "{\"a\":\n1}");
        assert_eq!(whole[0].name.as_deref(), Some("jobs"));
        assert_eq!(whole[1].data, "é");
        assert_eq!(
            (whole[0].id.as_deref(), whole[1].id.as_deref()),
            (Some("7"), Some("8"))
        );
        assert_eq!(whole[1].name, None);
        for size in 1..text.len() {
            let mut parser = SseParser::new(MOST);
            let parts: Vec<_> = text
                .chunks(size)
                .flat_map(|c| parser.push(c).unwrap())
                .collect();
            assert_eq!(parts, whole, "{size}");
        }
    }

    #[test]
    fn an_endless_event_ends_the_stream() {
        assert!(SseParser::new(MOST).push(&[b'a'; MOST + 1]).is_err());
        let mut parser = SseParser::new(MOST);
        let lines = "data: aaaa\n".repeat(MOST);
        assert!(parser.push(lines.as_bytes()).is_err());
        assert!(SseParser::new(MOST).push(&[b':', 0xff, b'\n']).is_err());
    }
}
