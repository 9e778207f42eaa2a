//! A question that is asked further: of one server after the other, for as long as whoever asked may wait.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::packet::{Question, REFUSED, SERVER_FAILURE, code};

/// How long all servers together are waited for: less than the 5 seconds after which resolvers give up by themselves (resolv.conf(5),
/// "timeout"), so that they hear what there is to say.
const PATIENCE: Duration = Duration::from_secs(4);

/// The question, and who is still to be asked.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) question: Question,
    /// As it came.
    pub(super) bytes: Vec<u8>,
    servers: Vec<SocketAddr>,
    end: Instant,
}

impl Asking {
    pub(super) fn new(question: Question, bytes: &[u8], servers: Vec<SocketAddr>) -> Asking {
        Asking { question, bytes: bytes.to_vec(), servers, end: Instant::now() + PATIENCE }
    }

    /// Who is asked next, and until when he has time: what is left of it is for all who are left.
    pub(super) fn next(&mut self) -> Option<(SocketAddr, Instant)> {
        let left = self.servers.len();
        let server = (left > 0).then(|| self.servers.remove(0))?;
        let now = Instant::now();
        Some((server, now + self.end.saturating_duration_since(now) / left as u32))
    }

    /// Whether what came is an answer to it.
    pub(super) fn is_answered_by(&self, bytes: &[u8]) -> bool {
        self.question.is_answered_by(bytes)
    }

    /// Whether an answer is that this server has none, and others may have one, as resolvers have it with their servers.
    pub(super) fn is_for_others(&self, answer: &[u8]) -> bool {
        !self.servers.is_empty() && [SERVER_FAILURE, REFUSED].contains(&code(answer))
    }

    /// The answer when nobody had one.
    pub(super) fn failure(&self, most: usize) -> Vec<u8> {
        self.question.answer(SERVER_FAILURE, &[], most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{A, DATAGRAM, question, tests::asked};
    use super::*;

    #[test]
    fn all_servers_together_have_one_time() {
        let bytes = asked("web", A);
        let servers = vec![([192, 0, 2, 1], 53).into(), ([192, 0, 2, 2], 53).into()];
        let mut asking = Asking::new(question(&bytes).unwrap(), &bytes, servers);
        let end = asking.end;
        let (first, until) = asking.next().unwrap();
        assert_eq!(first, ([192, 0, 2, 1], 53).into());
        assert!(until <= end - PATIENCE / 2 + Duration::from_secs(1));
        let failure = asking.failure(DATAGRAM);
        assert!(asking.is_answered_by(&failure) && asking.is_for_others(&failure));
        // As if the first one had had its time.
        asking.end = Instant::now() + PATIENCE / 2;
        let (second, until) = asking.next().unwrap();
        assert_eq!(second, ([192, 0, 2, 2], 53).into());
        assert!(until <= asking.end + Duration::from_millis(1));
        assert!(!asking.is_for_others(&failure), "nobody is left");
        assert!(asking.next().is_none());
    }
}
