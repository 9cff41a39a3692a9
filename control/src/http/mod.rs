//! What all routes share: the envelope of an answer, requests' ids and logs, and the limits of a request.

mod answer;
mod body;
mod describe;
mod edge;
mod gate;
#[cfg(test)]
mod gate_tests;
mod if_match;
mod layers;
#[cfg(test)]
mod log_tests;
mod observe;
mod page;
mod refusals;
mod reply;
mod shape;
mod stalled;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    answer::render,
    body::unreadable,
    gate::{Caller, Demanded, is_api},
    reply::now,
};
pub use self::{
    body::{Body, PathId},
    describe::describe,
    edge::{BadOrigin, Edge, Origin},
    if_match::IfMatch,
    layers::finish,
    observe::RequestId,
    page::{Page, PageQuery, Pagination, Params},
    refusals::{ReadRefusals, WriteRefusals},
    reply::{Empty, Envelope, Reply},
    stalled::Limited,
};
