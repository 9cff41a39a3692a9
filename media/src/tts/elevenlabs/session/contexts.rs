//! The contexts of one socket: open ones, and those that were told to close and still count until their final message.

use super::Mode;

#[derive(Default)]
pub(super) struct Contexts(Vec<Context>);

struct Context {
    name: String,
    /// Nobody listens to it any more.
    closing: bool,
}

impl Contexts {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn open(&mut self, name: &str) {
        self.0.push(Context { name: name.to_owned(), closing: false });
    }

    pub(super) fn close(&mut self, name: &str) {
        for context in self.0.iter_mut().filter(|context| context.name == name) {
            context.closing = true;
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|context| context.name != name);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn any_closing(&self) -> bool {
        self.0.iter().any(|context| context.closing)
    }

    pub(super) fn open_ones(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|context| !context.closing).map(|context| &*context.name)
    }

    /// The context that a message belongs to. `stream-input` names none, for it has only one.
    pub(super) fn name_of(&self, named: Option<&str>, mode: Mode) -> Option<String> {
        let context = match mode {
            Mode::Multi => self.0.iter().find(|context| Some(&*context.name) == named),
            Mode::Single => self.0.first(),
        };
        context.map(|context| context.name.clone())
    }
}
