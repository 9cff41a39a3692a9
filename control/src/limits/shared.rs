//! The budgets that nodes share: one script, one round trip, one key that is gone when it no longer counts.

use std::{fmt, num::NonZeroU32, time::Duration};

use redis::Script;

use super::{Verdict, interval};
use crate::redis::Redis;

/// Times in microseconds, by Redis' own clock: those of nodes differ. The key holds when its budget will be whole.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole = math.max(tonumber(redis.call('GET', KEYS[1])) or 0, now)
local spent = whole + interval - now
local over = spent - interval * limit
if over > 0 then
    return {0, math.ceil(over)}
end
redis.call('SET', KEYS[1], string.format('%.3f', now + spent), 'PX', math.ceil(spent / 1000))
return {math.floor((interval * limit - spent) / interval + 0.001), -1}
";

pub(super) struct Shared {
    redis: Redis,
    script: Script,
    kind: &'static str,
    limit: u32,
    wait: Duration,
}

impl Shared {
    pub(super) fn new(redis: Redis, kind: &'static str, limit: NonZeroU32, wait: Duration) -> Self {
        Self { redis, script: Script::new(TAKE), kind, limit: limit.get(), wait }
    }

    /// `None` if Redis does not say, or not in time.
    pub(super) async fn take(&self, key: &impl fmt::Display) -> Option<Verdict> {
        let mut script = self.script.key(format!("trunkline:rate:{}:{key}", self.kind));
        script.arg(interval(self.limit).as_nanos() as f64 / 1000.0).arg(self.limit);
        let (remaining, wait): (u32, i64) = self.redis.eval(self.wait, &script).await.ok()?;
        let retry_after = u64::try_from(wait).ok().map(Duration::from_micros);
        Some(Verdict { limit: self.limit, remaining, retry_after })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("kind", &self.kind).field("redis", &self.redis).finish_non_exhaustive()
    }
}
