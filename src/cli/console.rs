//! What a person at the terminal reads: the one place that writes to stdout.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// Where lines go, and whether they may be coloured. Cloning shares the place.
#[derive(Debug, Clone)]
pub struct Console {
    colour: bool,
    kept: Option<Arc<Mutex<String>>>,
}

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Of less importance.
    Dim,
    /// Of more importance.
    Bold,
    /// What the caller said.
    Caller,
    /// What the agent said.
    Agent,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

impl Console {
    /// The standard output, in colours if it is a terminal and `NO_COLOR` is not set.
    pub fn stdout() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: io::stdout().is_terminal() && !no_colour, kept: None }
    }

    /// Keeps what is written, without colours, for [`Self::kept`].
    pub fn keeping() -> Self {
        Self { colour: false, kept: Some(Arc::default()) }
    }

    /// All that was written, if it is kept.
    pub fn kept(&self) -> String {
        self.kept.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    /// Writes a line.
    pub fn line(&self, text: impl AsRef<str>) {
        match &self.kept {
            // A reader that has gone is no reason to stop: the command's work and its exit code matter still.
            None => drop(writeln!(io::stdout().lock(), "{}", text.as_ref())),
            Some(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writeln!(kept, "{}", text.as_ref());
            }
        }
    }

    /// `text` in a style, if there are any.
    pub fn paint(&self, style: Style, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match style {
            Style::Dim => "2",
            Style::Bold => "1",
            Style::Caller => "36",
            Style::Agent => "33",
            Style::Good => "32",
            Style::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_no_colours() {
        let console = Console::keeping();
        console.line(console.paint(Style::Bad, "one"));
        console.clone().line("two");
        assert_eq!(console.kept(), "one\ntwo\n");
    }
}
