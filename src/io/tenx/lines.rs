//! Lines of text files, compressed by gzip or not.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use flate2::read::MultiGzDecoder;

use super::{AGAIN, invalid};
use crate::{Error, Result};

/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// Opens a file; what is compressed is decompressed, whatever its name.
fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut file = BufReader::with_capacity(PIECE, std::fs::File::open(path).map_err(io)?);
    let is_gzip = file.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// A failure of reading: of the disk, or of what was to be decompressed.
fn failed(path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::UnexpectedEof => invalid(path, "the gzip data end too early", AGAIN),
        Kind::InvalidData | Kind::InvalidInput => invalid(path, format!("the gzip data are damaged ({error})"), AGAIN),
        _ => Error::Io { path: path.to_owned(), source: error },
    }
}

/// All lines, without their ends; an empty last one does not count.
///
/// # Errors
/// [`Error::Io`]; [`Error::InvalidFile`] if the file is cut off or holds no UTF-8.
pub(super) fn all(path: &Path) -> Result<Vec<String>> {
    let mut text = Vec::new();
    open(path)?.read_to_end(&mut text).map_err(|error| failed(path, error))?;
    let text = String::from_utf8(text).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        invalid(path, format!("line {line} holds text that is not UTF-8"), "write the file again as UTF-8")
    })?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The lines of a large file, one after the other. It is read and decompressed by a thread of its own.
pub(super) struct Lines {
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    buffer: Vec<u8>,
    start: usize,
    is_over: bool,
    /// The number of the last line that was given out; the first is 1.
    pub(super) number: usize,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut from = open(path)?;
        let (to, pieces) = sync_channel(4);
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = from.read(&mut piece).map(|n| {
                    piece.truncate(n);
                    piece
                });
                let is_last = !matches!(&read, Ok(piece) if !piece.is_empty());
                // Nobody listens any more once an error was found.
                if to.send(read).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self { pieces, buffer: Vec::new(), start: 0, is_over: false, number: 0 })
    }

    /// The next line without its end.
    pub(super) fn next(&mut self, path: &Path) -> Result<Option<&[u8]>> {
        let mut searched = self.start;
        let end = loop {
            if let Some(at) = self.buffer[searched..].iter().position(|&byte| byte == b'\n') {
                break Some(searched + at);
            }
            if self.is_over {
                break None;
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            searched = self.buffer.len();
            match self.pieces.recv() {
                Ok(Ok(piece)) if !piece.is_empty() => self.buffer.extend_from_slice(&piece),
                Ok(Err(error)) => return Err(failed(path, error)),
                _ => self.is_over = true,
            }
            if self.buffer.len() > MOST_LINE + PIECE {
                return Err(invalid(path, format!("line {} has no end", self.number + 1), AGAIN));
            }
        };
        let start = self.start;
        let end = end.unwrap_or(self.buffer.len());
        if end == self.buffer.len() && start == end {
            return Ok(None);
        }
        self.start = (end + 1).min(self.buffer.len());
        self.number += 1;
        Ok(Some(&self.buffer[start..end]))
    }
}

/// No line of a matrix is longer.
const MOST_LINE: usize = 1 << 16;
