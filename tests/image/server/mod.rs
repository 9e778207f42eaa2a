//! A web server on the loopback, with a thread for each connection and a list of all that was asked for.

mod http;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

#[allow(unused_imports, reason = "each of those who share this file takes what it needs")]
pub use http::{Answer, Body, Gate, Keeper, Request, pairs};

/// Connections that may be open at once; more are turned away.
const MOST_CONNECTIONS: usize = 64;

/// What answers; without an answer the connection ends.
pub trait Handler: Send + Sync + 'static {
    /// How much of a request's body is read. Where it is longer the connection ends, and the answer is not sent.
    fn most(&self, _request: &Request) -> usize {
        128 << 20
    }

    fn answer(&self, request: &Request) -> Option<Answer>;
}

impl<F: Fn(&Request) -> Option<Answer> + Send + Sync + 'static> Handler for F {
    fn answer(&self, request: &Request) -> Option<Answer> {
        self(request)
    }
}

/// What all threads know.
struct Shared {
    handler: Box<dyn Handler>,
    requests: Mutex<Vec<Request>>,
    open: Mutex<BTreeMap<SocketAddr, TcpStream>>,
    ended: AtomicBool,
}

/// A running server; it ends when it is dropped, with all its threads.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    pub fn start(handler: impl Handler) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, open, ended) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { handler: Box::new(handler), requests, open, ended });
        let accepting = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.accept(&listener))
        };
        Server { address, shared, listener: Some(accepting) }
    }

    /// All that was asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.shared.requests).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // What accepts is woken by somebody to accept.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(5));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for stream in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                break;
            }
            let Ok(stream) = stream else { continue };
            threads.retain(|thread| !thread.is_finished());
            if threads.len() < MOST_CONNECTIONS {
                threads.extend(self.connection(stream));
            }
        }
        for stream in locked(&self.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn connection(self: &Arc<Shared>, stream: TcpStream) -> Option<JoinHandle<()>> {
        let peer = stream.peer_addr().ok()?;
        locked(&self.open).insert(peer, stream.try_clone().ok()?);
        let shared = Arc::clone(self);
        Some(std::thread::spawn(move || {
            // A client that went away is its own affair.
            let _ = shared.serve(&stream);
            let _ = stream.shutdown(Shutdown::Both);
            locked(&shared.open).remove(&peer);
        }))
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut output = stream.try_clone()?;
        let mut input = BufReader::new(stream);
        while let Some(mut request) = Request::read(&mut input)? {
            request.before = {
                let known = locked(&self.requests);
                known.iter().filter(|other| other.to_string() == request.to_string()).count()
            };
            request.read_body(&mut input, self.handler.most(&request))?;
            locked(&self.requests).push(request.clone());
            let Some(answer) = self.handler.answer(&request).filter(|_| request.whole) else { return Ok(()) };
            if !answer.write(&mut output, request.method == "HEAD")? {
                return Ok(());
            }
        }
        Ok(())
    }
}
