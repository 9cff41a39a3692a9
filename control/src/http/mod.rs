//! What all routes share: the envelope of an answer, requests' ids and logs, and the limits of a request.

mod body;
mod if_match;
mod layer;
mod listener;
mod page;
mod refusals;
mod reply;
#[cfg(test)]
mod tests;

pub(crate) use self::reply::now;
pub use self::{
    body::{Body, PathId},
    if_match::IfMatch,
    layer::{RequestId, finish},
    listener::{Limited, Listener},
    page::{Page, PageQuery, Pagination, Params},
    refusals::{ReadRefusals, WriteRefusals},
    reply::{Empty, Envelope, Reply},
};
