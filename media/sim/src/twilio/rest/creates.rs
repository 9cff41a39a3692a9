//! What goes wrong with requests to place a call: whether it is dialled, and what is answered, are two things.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// The fate of one request to place a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateFault {
    /// No answer ever comes.
    Hang {
        /// Whether the call is placed all the same.
        dials: bool,
    },
    /// The answer breaks off.
    Cut {
        /// Whether the call is placed all the same.
        dials: bool,
    },
    /// It is answered with an error of the vendor's.
    Error {
        /// HTTP status.
        status: u16,
        /// Whether the call is placed all the same.
        dials: bool,
    },
    /// It is refused, for a reason that the vendor's code names.
    Refuse {
        /// HTTP status.
        status: u16,
        /// The vendor's code, such as 21215.
        code: u32,
    },
}

/// The fates of requests to place a call, the first's first; `None` is a request that goes well, as do all further ones. Cloning
/// shares them.
#[derive(Debug, Clone, Default)]
pub struct Creates(Arc<Mutex<VecDeque<Option<CreateFault>>>>);

impl Creates {
    /// The fates of the next requests.
    pub fn new(faults: impl IntoIterator<Item = Option<CreateFault>>) -> Self {
        Self(Arc::new(Mutex::new(faults.into_iter().collect())))
    }

    /// One more.
    pub fn push(&self, fault: Option<CreateFault>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    pub(crate) fn next(&self) -> Option<CreateFault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().flatten()
    }
}
