//! Contacts from a file of comma-separated values (RFC 4180), a few at a time.
//!
//! The first line names the columns: `phone_number`, perhaps `timezone`, and whatever else the agent's texts have as variables.

use std::io::Read;

use csv::{ByteRecord, ReaderBuilder, Terminator};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{ImportContact, LARGEST_CONTEXT};

/// How many rows are handed on at once.
const BATCH: usize = 500;
/// How many columns there may be.
const COLUMNS: usize = 100;
/// The longest name of a column, in characters.
const LONGEST_NAME: usize = 100;

/// A row of the file.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it begins, from 1.
    pub(super) line: u64,
    /// Who it is, or what is wrong with it.
    pub(super) contact: Result<ImportContact, String>,
}

/// Why a file is not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Its first line does not say what the columns are.
    #[error("{0}")]
    Header(String),
    /// It did not come to its end.
    #[error(transparent)]
    Io(std::io::Error),
}

/// Reads a file and hands its rows on, until nobody takes them.
pub(super) fn read(file: impl Read, mut take: impl FnMut(Vec<Row>) -> bool) -> Result<(), Unreadable> {
    // Rows of another length are told of, and the others are read. Where a record begins is known by where it ends, for the reader's own
    // word is of before the empty lines that it skips; so each ends with a line, the last one too.
    let file = file.chain(&b"\n"[..]);
    let mut reader = ReaderBuilder::new().flexible(true).terminator(Terminator::Any(b'\n')).from_reader(file);
    let columns = Columns::of(reader.byte_headers().map_err(broken)?)?;
    let (mut record, mut rows) = (ByteRecord::new(), Vec::new());
    while reader.read_byte_record(&mut record).map_err(broken)? {
        if record.len() == 1 && &record[0] == b"\r" {
            continue;
        }
        let inside = record.as_slice().iter().filter(|byte| **byte == b'\n').count();
        let line = reader.position().line() - 1 - inside as u64;
        rows.push(Row { line, contact: columns.contact(&record) });
        if rows.len() == BATCH && !take(std::mem::take(&mut rows)) {
            return Ok(());
        }
    }
    if !rows.is_empty() {
        take(rows);
    }
    Ok(())
}

fn broken(error: csv::Error) -> Unreadable {
    Unreadable::Io(error.into())
}

/// What the columns are.
struct Columns {
    phone_number: usize,
    timezone: Option<usize>,
    names: Vec<String>,
}

impl Columns {
    fn of(header: &ByteRecord) -> Result<Self, Unreadable> {
        let wrong = |message: String| Err(Unreadable::Header(message));
        if header.len() > COLUMNS {
            return wrong(format!("must name at most {COLUMNS} columns"));
        }
        let mut names = Vec::new();
        for name in header {
            let Ok(name) = std::str::from_utf8(name) else { return wrong("must be UTF-8".to_owned()) };
            let name = name.trim();
            if name.is_empty() || name.contains('\0') || name.chars().count() > LONGEST_NAME {
                return wrong(format!("must name every column, with at most {LONGEST_NAME} characters"));
            }
            if names.iter().any(|other| other == name) {
                return wrong("must not name a column twice".to_owned());
            }
            names.push(name.to_owned());
        }
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        match place("phone_number") {
            Some(phone_number) => Ok(Self { phone_number, timezone: place("timezone"), names }),
            None => wrong("must name a column phone_number; columns are separated by commas".to_owned()),
        }
    }

    fn contact(&self, record: &ByteRecord) -> Result<ImportContact, String> {
        if record.len() != self.names.len() {
            return Err(format!("has {} fields instead of {}", record.len(), self.names.len()));
        }
        let mut context = Map::new();
        let (mut phone_number, mut timezone) = ("", None);
        for (n, (name, field)) in self.names.iter().zip(record).enumerate() {
            // Lines end with both characters where a spreadsheet has written them.
            let field = if n + 1 == record.len() { field.strip_suffix(b"\r").unwrap_or(field) } else { field };
            let field = std::str::from_utf8(field).map_err(|_| "is not UTF-8".to_owned())?;
            if field.contains('\0') {
                return Err("must not have the character U+0000".to_owned());
            }
            if n == self.phone_number {
                phone_number = field.trim();
            } else if Some(n) == self.timezone {
                timezone = Some(field.trim()).filter(|zone| !zone.is_empty());
            } else if !field.is_empty() {
                context.insert(name.clone(), Value::from(field));
            }
        }
        if serde_json::to_string(&context).map_or(0, |text| text.len()) > LARGEST_CONTEXT {
            return Err(format!("has more than {LARGEST_CONTEXT} bytes of variables"));
        }
        let phone_number = phone_number.parse().map_err(|error| format!("phone_number {error}"))?;
        ImportContact::new(phone_number, timezone, context).map_err(|error| format!("timezone {error}"))
    }
}

/// What comes over the network, as a file.
pub(super) struct Upload {
    chunks: mpsc::Receiver<std::io::Result<axum::body::Bytes>>,
    rest: axum::body::Bytes,
}

impl Upload {
    pub(super) fn of(chunks: mpsc::Receiver<std::io::Result<axum::body::Bytes>>) -> Self {
        Self { chunks, rest: axum::body::Bytes::new() }
    }
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(0),
            }
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest.split_to(n));
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(file: impl AsRef<[u8]>) -> Result<Vec<Row>, String> {
        let mut all = Vec::new();
        let read = read(file.as_ref(), |rows| {
            all.extend(rows);
            true
        });
        read.map(|()| all).map_err(|error| error.to_string())
    }

    /// The line, the number, the zone and the variables of one that is good; else what is wrong.
    fn told(row: Row) -> (u64, Result<(String, String, Value), String>) {
        let contact = row.contact.map(|it| (it.phone_number.expose().to_owned(), it.timezone, it.context.into()));
        (row.line, contact)
    }

    #[test]
    fn a_spreadsheet_s_file_is_read_with_its_mark_its_line_ends_and_its_quotes() {
        let file = "\u{feff}name,phone_number,timezone,note\r\n\
            \"Doe, John\",+14155550101,America/New_York,\"He said \"\"no\"\".\r\nTwice.\"\r\n\
            \r\n\
            Ann, +4930123456 ,,\r\n";
        let rows: Vec<_> = rows(file).unwrap().into_iter().map(told).collect();
        let john = json!({ "name": "Doe, John", "note": "He said \"no\".\r\nTwice." });
        assert_eq!(
            rows,
            [
                (2, Ok(("+14155550101".to_owned(), "America/New_York".to_owned(), john))),
                // A text that goes on over two lines counts as two, and a line without anything too; the number tells the zone.
                (5, Ok(("+4930123456".to_owned(), "Europe/Berlin".to_owned(), json!({ "name": "Ann" })))),
            ]
        );
    }

    #[test]
    fn bad_rows_are_told_by_their_line_and_the_others_are_read() {
        let file = b"phone_number,timezone\n\
            +14155550101,Mars/Olympus\n\
            \n\
            415-555-0102,\n\
            +14155550103\n\
            +14155550104,UTC,more\n\
            \xff+14155550105,\n\
            +14155550106,\x00\n\
            +14155550107,";
        let rows: Vec<_> = rows(file).unwrap().into_iter().map(told).collect();
        let wrong: Vec<_> = rows.iter().filter_map(|(line, row)| Some((*line, row.as_ref().err()?.as_str()))).collect();
        assert_eq!(
            wrong,
            [
                (2, "timezone must be a time zone's name, such as America/New_York"),
                (4, "phone_number must be a number in E.164, such as +14155550100"),
                (5, "has 1 fields instead of 2"),
                (6, "has 3 fields instead of 2"),
                (7, "is not UTF-8"),
                (8, "must not have the character U+0000"),
            ]
        );
        assert_eq!(rows.last(), Some(&(9, Ok(("+14155550107".into(), String::new(), json!({}))))));
    }

    #[test]
    fn a_file_whose_first_line_names_no_columns_is_refused() {
        for file in ["", "\n\n", "phone;name\n", "name\nAnn\n", "phone_number,,name\n", "phone_number,a,a\n"] {
            assert!(rows(file).is_err_and(|error| error.starts_with("must ")), "{file:?}");
        }
        assert!(rows(format!("phone_number{}\n", ",a".repeat(COLUMNS))).is_err());
        assert_eq!(rows("phone_number\n").unwrap().len(), 0);
    }

    #[test]
    fn what_breaks_off_ends_with_the_last_whole_row() {
        let (send, chunks) = mpsc::channel(4);
        send.try_send(Ok("phone_number\n+141555".into())).unwrap();
        send.try_send(Ok("50101\n+1415555".into())).unwrap();
        send.try_send(Err(std::io::Error::other("cut"))).unwrap();
        drop(send);
        let mut all = Vec::new();
        let broken = read(Upload::of(chunks), |rows| {
            all.extend(rows);
            true
        });
        // What was not handed on yet is not either: half a row looks like a whole one.
        assert!(matches!(broken, Err(Unreadable::Io(_))) && all.is_empty());
    }
}
