//! Letters to a reactor from other threads: a channel and the waker that rings its poll.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::{Registry, Waker};

use super::listen::Accepted;
use super::token;

/// What other threads tell a reactor.
#[derive(Debug)]
pub enum Mail {
    /// A name was looked up for the connection with this ticket.
    Resolved {
        /// The ticket that the question carried.
        token: u64,
        /// Addresses, or the reason why there are none.
        result: Result<Arc<[IpAddr]>, &'static str>,
    },
    /// A connection that another reactor accepted.
    Accepted(Box<Accepted>),
    /// The policy changed; cut what it now denies where `cut` says so.
    PolicyChanged {
        /// `reload.cut` of the configuration.
        cut: bool,
    },
    /// No new connections; end when the running exchanges have ended.
    Drain,
    /// End now.
    Cut,
}

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Postbox {
    sender: Sender<Mail>,
    waker: Arc<Waker>,
}

impl Postbox {
    /// Sends a letter; a reactor that has ended gets none.
    pub fn post(&self, mail: Mail) {
        if self.sender.send(mail).is_err() {
            return;
        }
        if let Err(error) = self.waker.wake() {
            log::warn!("cannot wake a reactor: {error}");
        }
    }
}

/// Both ends of a mailbox. The queue is bounded by what is asked: one answer for each question of a connection.
pub fn mailbox(registry: &Registry) -> io::Result<(Postbox, Receiver<Mail>)> {
    let waker = Arc::new(Waker::new(registry, token::MAILBOX)?);
    let (sender, receiver) = unbounded();
    Ok((Postbox { sender, waker }, receiver))
}
