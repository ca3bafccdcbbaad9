//! An incremental reader of server-sent events.

/// One event: its name and its data lines joined by line breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// `message` where the stream names none.
    pub(crate) name: String,
    /// The data.
    pub(crate) data: String,
}

/// Keeps what has not ended yet between two pieces of the stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    line: String,
    after_return: bool,
    name: String,
    data: Option<String>,
}

impl Reader {
    /// Takes the next piece of decoded text and gives the events that it completes.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Event> {
        let mut events = Vec::new();
        for c in text.chars() {
            let second_half = c == '\n' && self.after_return;
            self.after_return = c == '\r';
            match c {
                _ if second_half => {}
                '\n' | '\r' => events.extend(self.end_line()),
                c => self.line.push(c),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let data = self.data.take()?;
            let name = if name.is_empty() {
                "message".into()
            } else {
                name
            };
            return Some(Event { name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                none => *none = Some(value.to_owned()),
            },
            // Comments keep the connection alive; ids and retries mean nothing here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": keep-alive\n\nevent: token\ndata: {\"text\": \" Ö\"}\n\nevent: done\r\ndata:1\r\ndata: 2\r\n\r\ndata: last\n\nid: 7\n\n";

    fn expected() -> Vec<Event> {
        let event = |name: &str, data: &str| Event {
            name: name.into(),
            data: data.into(),
        };
        vec![
            event("token", "{\"text\": \" Ö\"}"),
            event("done", "1\n2"),
            event("message", "last"),
        ]
    }

    #[test]
    fn whole_streams_and_single_characters_give_the_same() {
        assert_eq!(Reader::default().push(STREAM), expected());
        let mut reader = Reader::default();
        let one_by_one: Vec<Event> = STREAM
            .chars()
            .flat_map(|c| reader.push(&c.to_string()))
            .collect();
        assert_eq!(one_by_one, expected());
    }

    #[test]
    fn an_unfinished_event_waits() {
        let mut reader = Reader::default();
        assert!(reader.push("event: token\ndata: {\"la").is_empty());
        assert!(reader.push("ne\": 0}\n").is_empty());
        assert_eq!(reader.push("\n").len(), 1);
    }
}
