//! Limits per client on what runs the models, for a server that strangers reach.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    state::keyed::DashMapStateStore,
};

use crate::problem::Problem;

/// Clients known at once before those that have all their requests back are forgotten.
const REMEMBERED: usize = 10_000;

/// What a client may ask of the models; no limit by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Requests a minute that run the models.
    pub per_minute: Option<NonZeroU32>,
    /// Such requests at the same time.
    pub at_once: Option<NonZeroU32>,
    /// Clients are told apart by the last entry of `X-Forwarded-For`, which the proxy in front writes, not by the connection.
    pub forwarded: bool,
}

type Rate = RateLimiter<IpAddr, DashMapStateStore<IpAddr>, DefaultClock>;

/// Keeps [`ClientLimits`]. Clones share what they know.
#[derive(Clone)]
pub(crate) struct Clients(Arc<Known>);

struct Known {
    limits: ClientLimits,
    rate: Option<Rate>,
    running: Mutex<HashMap<IpAddr, u32>>,
}

impl Clients {
    pub(crate) fn new(limits: ClientLimits) -> Self {
        let rate = limits
            .per_minute
            .map(|most| RateLimiter::dashmap(Quota::per_minute(most)));
        Self(Arc::new(Known {
            limits,
            rate,
            running: Mutex::default(),
        }))
    }

    /// A request's leave to run the models, held until it is dropped.
    fn admit(&self, client: IpAddr) -> Result<Leave, Problem> {
        let mut leave = Leave(None);
        if let Some(most) = self.0.limits.at_once {
            let mut running = self
                .0
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = running.entry(client).or_insert(0);
            if *count >= most.get() {
                return Err(Problem::too_many(
                    format!(
                        "{most} requests of yours are running already, and this server takes no more at once from one client; wait for one to end"
                    ),
                    Duration::from_secs(1),
                ));
            }
            *count += 1;
            leave = Leave(Some((Arc::clone(&self.0), client)));
        }
        if let Some(rate) = &self.0.rate {
            if rate.len() > REMEMBERED {
                rate.retain_recent();
            }
            rate.check_key(&client).map_err(|not_yet| {
                let wait = not_yet.wait_time_from(DefaultClock::default().now());
                let most = self.0.limits.per_minute.map_or(0, NonZeroU32::get);
                Problem::too_many(
                    format!("this server runs {most} requests a minute for one client; try again in {} s", wait.as_secs() + 1),
                    wait,
                )
            })?;
        }
        Ok(leave)
    }

    fn limited(&self) -> bool {
        self.0.limits.at_once.is_some() || self.0.rate.is_some()
    }
}

/// Counts as one of a client's running requests until it is dropped.
struct Leave(Option<(Arc<Known>, IpAddr)>);

impl Drop for Leave {
    fn drop(&mut self) {
        let Some((known, client)) = self.0.take() else {
            return;
        };
        let mut running = known.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.remove(&client);
            }
        }
    }
}

/// Lets requests through as long as their client keeps to its limits. A stream counts until its last byte or its client's leaving.
pub(crate) async fn limit(
    State(clients): State<Clients>,
    request: Request,
    next: Next,
) -> Response {
    // Reading runs no model.
    if !clients.limited() || *request.method() != Method::POST {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = connection.map(|ConnectInfo(addr)| addr.ip());
    let forwarded = clients
        .0
        .limits
        .forwarded
        .then(|| forwarded(request.headers()));
    let Some(client) = forwarded.flatten().or(peer).map(network) else {
        return next.run(request).await;
    };
    match clients.admit(client) {
        Ok(leave) => next.run(request).await.map(|body| {
            let chunks = body.into_data_stream().map(move |chunk| {
                let _held = &leave;
                chunk
            });
            Body::from_stream(chunks)
        }),
        Err(problem) => problem.into_response(),
    }
}

/// The client that the nearest proxy saw: entries before it are the client's own words.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

/// One client for all addresses of a household: a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn requests_at_once_are_counted_per_client_and_given_back() {
        let clients = Clients::new(ClientLimits {
            at_once: NonZeroU32::new(2),
            ..ClientLimits::default()
        });
        let (one, other) = (ip("10.0.0.1"), ip("10.0.0.2"));
        let held = (clients.admit(one).unwrap(), clients.admit(one).unwrap());
        let refused = clients.admit(one).err().unwrap();
        assert_eq!(refused.body.status, 429);
        assert!(clients.admit(other).is_ok());
        drop(held);
        assert!(clients.admit(one).is_ok());
        assert!(clients.0.running.lock().unwrap().is_empty());
    }

    #[test]
    fn requests_a_minute_are_counted_per_client_and_a_refusal_says_when_to_return() {
        let clients = Clients::new(ClientLimits {
            per_minute: NonZeroU32::new(3),
            at_once: NonZeroU32::new(9),
            ..ClientLimits::default()
        });
        for _ in 0..3 {
            assert!(clients.admit(ip("10.0.0.1")).is_ok());
        }
        let refused = clients.admit(ip("10.0.0.1")).err().unwrap();
        assert!((1..=20).contains(&refused.retry_after.unwrap()));
        assert!(clients.admit(ip("10.0.0.2")).is_ok());
        assert!(
            clients.0.running.lock().unwrap().is_empty(),
            "a refusal holds nothing"
        );
    }

    #[test]
    fn the_nearest_proxy_is_believed_and_nobody_before_it() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "1.1.1.1, 2.2.2.2".parse().unwrap());
        headers.append("x-forwarded-for", "3.3.3.3, 4.4.4.4".parse().unwrap());
        assert_eq!(forwarded(&headers), Some(ip("4.4.4.4")));
        assert_eq!(
            network(ip("2001:db8::1:2:3")),
            network(ip("2001:db8::ffff"))
        );
        assert_eq!(network(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }
}
