//! The questions that an instance is asked, one function each. A request whose
//! token turned out dead is repeated with a new one, and never for another reason.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use serde_json::Value;

use super::auth::Session;
pub use super::auth::SignIn;
use super::error::{BuildError, Cause, Endpoint, Error, Told};
use super::host::Host;
use super::names::{ListNames, Way};
use super::options::Options;
use super::transport::{Ask, Free, Reply, Transport};
use super::wire::{self, Listed, Me, PassedOver, ServerConfig};
use crate::core::call::{Method, Path};
use crate::core::job::{JobsPage, JobsQuery, Order};
use crate::core::moderation::{self, Kind, List};
use crate::core::runner::{RunnerJobState, RunnerJobsList, RunnerJobsPage, RunnerJobsQuery, RunnersPage};
use crate::core::stats::Stats;
use crate::core::updates::Plugin;
use crate::core::video::{Scope, Sought, VideoSort, VideosPage, VideosQuery};

/// With tokens that live a second and many who ask, the one that a request was
/// sent with may be replaced under way more than once.
const MOST_TRIES: usize = 5;

/// One instance, asked in the name of one account or of nobody. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    transport: Transport,
    session: Option<Session>,
    names: ListNames,
    version: Mutex<Option<String>>,
    read_only: bool,
}

/// Whether a question makes sense without being signed in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Account,
    Nothing,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("transport", &self.0.transport).field("state", &self.state()).finish()
    }
}

impl Client {
    pub fn new(options: Options, host: Arc<dyn Host>) -> Result<Self, BuildError> {
        let session = options.account.as_ref().map(|account| Session::new(account, &options)).transpose()?;
        let transport = Transport::new(&options, host)?;
        let (read_only, version) = (options.read_only, Mutex::default());
        Ok(Self(Arc::new(Inner { transport, session, names: ListNames::default(), version, read_only })))
    }

    pub fn has_account(&self) -> bool {
        self.0.session.is_some()
    }

    pub fn state(&self) -> SignIn {
        self.0.session.as_ref().map_or(SignIn::Anonymous, Session::state)
    }

    /// A page of a list of jobs. Needs an administrator.
    pub async fn jobs(&self, query: &JobsQuery) -> Result<JobsPage, Error> {
        let mut refused = None;
        for way in self.0.names.of(query.list) {
            let error = match self.jobs_by(way, query).await {
                Ok(page) => {
                    if self.0.names.answered(way, query.list) {
                        let (instance, way) = (self.0.transport.instance(), way.describe());
                        tracing::info!(peertube_instance = %instance, way, "the instance lists its jobs in another way");
                    }
                    return Ok(page);
                }
                Err(error) => error,
            };
            let without_a_word = match &error.cause {
                Cause::Status { status: 400 | 404, told } => matches!(told, Told::Blank),
                Cause::OtherStates => true,
                _ => return Err(error),
            };
            let is_unknown = self.0.names.may_be_unknown(way, without_a_word, query.job_type.is_some());
            let first = refused.get_or_insert(error);
            if !is_unknown {
                break;
            }
            // What was said of the way that is known is worth most.
            if matches!(first.cause, Cause::OtherStates) {
                refused = None;
            }
        }
        Err(refused.unwrap_or_else(|| self.0.transport.error(Endpoint::Jobs, Cause::OtherStates)))
    }

    async fn jobs_by(&self, way: Way, query: &JobsQuery) -> Result<JobsPage, Error> {
        let mut ask = Ask::get(Endpoint::Jobs, &[]);
        let (path, states) = match way {
            Way::Todays(name) | Way::Old(name) => (vec!["jobs", name], None),
            Way::States(states) => (vec!["jobs"], Some(states)),
        };
        ask.path = &path;
        let sort = match query.order {
            Order::NewestFirst => "-createdAt",
            Order::OldestFirst => "createdAt",
        };
        ask.query =
            vec![("start", query.start.to_string()), ("count", query.count.to_string()), ("sort", sort.to_owned())];
        ask.query.extend(query.job_type.as_ref().map(|job_type| ("jobType", job_type.0.clone())));
        ask.query.extend(states.map(|states| ("states", states.to_owned())));
        self.list(&ask, Needs::Account, |reply| wire::jobs(&reply.body, reply.date()?, states)).await
    }

    /// A page of the jobs given to remote runners. Needs an administrator.
    pub async fn runner_jobs(&self, query: &RunnerJobsQuery) -> Result<RunnerJobsPage, Error> {
        let mut ask = Ask::get(Endpoint::RunnersJobs, &["runners", "jobs"]);
        ask.query = vec![("start", query.start.to_string()), ("count", query.count.to_string())];
        match query.list {
            RunnerJobsList::Changes => ask.query.push(("sort", "-updatedAt".to_owned())),
            RunnerJobsList::Unfinished => {
                ask.query.push(("sort", "createdAt".to_owned()));
                let states = RunnerJobState::UNFINISHED.map(|state| ("stateOneOf", state.id().to_string()));
                ask.query.extend(states);
            }
        }
        self.list(&ask, Needs::Account, |reply| wire::runner_jobs(&reply.body, reply.date()?)).await
    }

    /// A page of the remote runners. Needs an administrator.
    pub async fn runners(&self, start: u64) -> Result<RunnersPage, Error> {
        let mut ask = Ask::get(Endpoint::Runners, &["runners"]);
        ask.query = vec![("start", start.to_string()), ("count", "100".to_owned())];
        self.list(&ask, Needs::Account, |reply| wire::runners(&reply.body)).await
    }

    /// A page of the list of videos.
    pub async fn videos(&self, query: &VideosQuery) -> Result<VideosPage, Error> {
        let mut ask = Ask::get(Endpoint::Videos, &["videos"]);
        ask.query = vec![
            ("start", query.start.to_string()),
            ("count", query.count.to_string()),
            ("sort", video_sort(query.sort).to_owned()),
            ("nsfw", "both".to_owned()),
        ];
        if query.scope == Scope::Local {
            ask.query.push(("isLocal", "true".to_owned()));
        }
        if query.skip_count {
            ask.query.push(("skipCount", "true".to_owned()));
        }
        let needs = if query.everything {
            // Not yet published, blocked, and of blocked owners; of every privacy.
            ask.query.push(("include", "7".to_owned()));
            ask.query.extend((1..=5).map(|privacy| ("privacyOneOf", privacy.to_string())));
            Needs::Account
        } else {
            Needs::Nothing
        };
        self.list(&ask, needs, |reply| wire::videos(&reply.body, reply.date()?, !query.skip_count)).await
    }

    /// A video by its uuid. It is gone only if PeerTube itself says so.
    pub async fn video(&self, uuid: &str) -> Result<Sought, Error> {
        if !wire::is_video_id(uuid) {
            return Err(self.0.transport.error(Endpoint::Video, Cause::BadUuid));
        }
        let path = ["videos", uuid];
        match self.ask(&Ask::get(Endpoint::Video, &path), Needs::Nothing, |reply| wire::video(&reply.body)).await {
            Ok(row) => Ok(Sought::Here(Box::new(row))),
            Err(Error { cause: Cause::Status { status: 404, told: Told::Problem { .. } }, .. }) => Ok(Sought::Gone),
            Err(error) if error.is_forbidden() => Ok(Sought::Withheld),
            Err(Error { cause: Cause::Shape { reason, cut: false }, .. }) => {
                self.0.transport.host().passed_over(Endpoint::Video, 1, &reason);
                Ok(Sought::Unread)
            }
            Err(error) => Err(error),
        }
    }

    /// The server's version.
    pub async fn config(&self) -> Result<ServerConfig, Error> {
        let ask = Ask::get(Endpoint::Config, &["config"]);
        let config: ServerConfig = self.ask(&ask, Needs::Nothing, |reply| wire::decode(&reply.body)).await?;
        *self.0.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(config.server_version.clone());
        Ok(config)
    }

    /// The instance's version as this process was told it last.
    pub fn version(&self) -> Option<String> {
        self.0.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// By how much the server's clock is ahead of ours, or behind, as it last answered:
    /// nothing, if it is less than a minute.
    pub fn clock_ahead(&self) -> SignedDuration {
        self.0.transport.ahead()
    }

    /// What the server counts itself. It counts anew every 4 hours for each address, so
    /// this is always the same one.
    pub async fn stats(&self) -> Result<Stats, Error> {
        let ask = Ask::get(Endpoint::ServerStats, &["server", "stats"]);
        self.ask(&ask, Needs::Nothing, |reply| wire::stats(&reply.body)).await
    }

    /// A page of abuses or of registrations. Needs a moderator.
    pub async fn moderation(&self, query: &moderation::Query) -> Result<moderation::Page, Error> {
        let (mut ask, filter, pending_first) = match query.kind {
            Kind::Abuse => (Ask::get(Endpoint::Abuses, &["abuses"]), "state", "createdAt"),
            // The filter is ignored before 8.x; but those that wait have the lowest
            // state, and of them the lowest id, the oldest, comes first.
            Kind::Registration => {
                let ask = Ask::get(Endpoint::UsersRegistrations, &["users", "registrations"]);
                (ask, "stateOneOf", "state")
            }
        };
        ask.query = vec![("start", query.start.to_string()), ("count", query.count.to_string())];
        match query.list {
            List::NewestFirst => ask.query.push(("sort", "-createdAt".to_owned())),
            List::Pending => {
                ask.query.extend([("sort", pending_first.to_owned()), (filter, "1".to_owned())]);
            }
        }
        self.list(&ask, Needs::Account, |reply| wire::moderation(&reply.body)).await
    }

    /// The plugins and themes that are installed, the first hundred by name. Needs an
    /// administrator.
    pub async fn plugins(&self) -> Result<Vec<Plugin>, Error> {
        let mut ask = Ask::get(Endpoint::Plugins, &["plugins"]);
        ask.query = vec![("start", "0".to_owned()), ("count", "100".to_owned()), ("sort", "name".to_owned())];
        self.list(&ask, Needs::Account, |reply| wire::plugins(&reply.body)).await
    }

    /// New versions of PeerTube that the account was told of lately, which only
    /// administrators are.
    pub async fn new_versions(&self) -> Result<Vec<String>, Error> {
        let mut ask = Ask::get(Endpoint::UsersMeNotifications, &["users", "me", "notifications"]);
        // Old versions ignore the type and show all there is: hence not one row only.
        ask.query = vec![
            ("start", "0".to_owned()),
            ("count", "25".to_owned()),
            ("sort", "-createdAt".to_owned()),
            ("typeOneOf", "18".to_owned()),
        ];
        self.list(&ask, Needs::Account, |reply| wire::new_versions(&reply.body)).await
    }

    /// Who we are signed in as.
    pub async fn me(&self) -> Result<Me, Error> {
        self.ask(&Ask::get(Endpoint::UsersMe, &["users", "me"]), Needs::Account, |reply| wire::me(&reply.body)).await
    }

    /// What a script asks: the status and the body, whatever the status, as long as it
    /// is PeerTube that answers.
    pub async fn call(&self, method: Method, path: &Path, body: Option<&Value>) -> Result<(u16, Value), Error> {
        if method.is_write() && self.0.read_only {
            return Err(self.0.transport.error(Endpoint::Script, Cause::ReadOnly));
        }
        let segments: Vec<&str> = path.segments().collect();
        let mut ask = Ask::get(Endpoint::Script, &segments);
        ask.free = Some(Free { method, query: path.query(), body });
        self.ask(&ask, Needs::Account, |reply| Ok((reply.status(), wire::anything(&reply.body)?))).await
    }

    /// Asks for a list, and tells of the rows in it that can't be read.
    async fn list<T>(
        &self,
        ask: &Ask<'_>,
        needs: Needs,
        read: impl Fn(&Reply) -> Result<Listed<T>, Cause>,
    ) -> Result<T, Error> {
        let Listed { page, passed_over } = self.ask(ask, needs, read).await?;
        if let Some(PassedOver { rows, reason }) = passed_over {
            self.0.transport.host().passed_over(ask.endpoint, rows, &reason);
        }
        Ok(page)
    }

    async fn ask<T>(&self, ask: &Ask<'_>, needs: Needs, read: impl Fn(&Reply) -> Result<T, Cause>) -> Result<T, Error> {
        let Inner { transport, session, .. } = &*self.0;
        let Some(session) = session else { return transport.ask(ask, None, &read).await };
        let mut bearer = match session.token(transport).await {
            Ok(bearer) => bearer,
            // What anyone may see is still to be seen with a wrong password.
            Err(Error { cause: Cause::SignInRefused { .. }, .. }) if needs == Needs::Nothing => {
                return transport.ask(ask, None, &read).await;
            }
            Err(error) => return Err(error),
        };
        let mut may_renew = true;
        for _ in 1..MOST_TRIES {
            let refused = match transport.ask(ask, Some(&bearer.token), &read).await {
                Err(error) if error.cause.is_invalid_token() => error,
                result => return result,
            };
            bearer = match session.another(transport, &bearer, may_renew).await? {
                Some(bearer) => bearer,
                None => return Err(refused),
            };
            may_renew &= !bearer.renewed;
        }
        transport.ask(ask, Some(&bearer.token), &read).await
    }
}

fn video_sort(sort: VideoSort) -> &'static str {
    match sort {
        VideoSort::NewestPublished => "-publishedAt",
        VideoSort::NewestCreated => "-createdAt",
    }
}
