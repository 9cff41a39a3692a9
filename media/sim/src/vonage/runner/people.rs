//! Time that passes in a call beside its media streams: the people at the telephones do meanwhile what their scripts say. Nothing is heard
//! from side to side.

use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::{End, Next, Runner, interrupted, stream::ended};
use crate::{
    phone::{
        Act, Caller,
        playback::{TICK, TICK_BYTES},
    },
    vonage::legs::Leg,
};

/// Who else there is, and what of the caller counts.
pub(super) struct Company<'a> {
    /// Who was called.
    other: Option<&'a mut Caller>,
    /// Their leg.
    joined: Option<&'a Leg>,
    /// Whether keys are waited for.
    keys: bool,
}

impl<'a> Company<'a> {
    /// The caller alone.
    pub(super) const fn none() -> Self {
        Self { other: None, joined: None, keys: false }
    }

    /// The caller alone, whose keys are waited for.
    pub(super) const fn keys() -> Self {
        Self { other: None, joined: None, keys: true }
    }

    /// Another leg, with somebody at its end once they have answered.
    pub(super) const fn leg(joined: &'a Leg, other: Option<&'a mut Caller>) -> Self {
        Self { other, joined: Some(joined), keys: false }
    }
}

/// What ends a wait.
pub(super) enum Waited<T> {
    Over(T),
    /// Who was called hangs up.
    Left,
    /// REST has ended their leg.
    Ended,
    /// The caller presses a key.
    Pressed(char),
}

impl Runner {
    /// Lets time pass until something is over, or something happens to the call.
    pub(super) async fn wait<T>(
        &mut self,
        mut company: Company<'_>,
        until: impl Future<Output = T>,
    ) -> Result<Waited<T>, Next> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(until);
        let own = self.plan.leg.clone();
        let mut frame = [0; TICK_BYTES];
        loop {
            let told = async {
                match company.joined {
                    Some(joined) => ended(&mut self.commands, &own, joined).await.1,
                    None => Some(interrupted(&mut self.commands, &own).await),
                }
            };
            tokio::select! {
                biased;
                next = told => return match next {
                    Some(next) => Err(self.obey(next)),
                    None => Ok(Waited::Ended),
                },
                () = sleep_until(self.deadline) => return Err(Next::End(End::by("platform"))),
                over = &mut until => return Ok(Waited::Over(over)),
                _ = ticks.tick() => {
                    match self.caller.poll_frame(&mut frame) {
                        Some(Act::HangUp | Act::GiveUp) => return Err(Next::End(End::by("user"))),
                        Some(Act::Press(key)) if company.keys => return Ok(Waited::Pressed(key)),
                        Some(Act::Press(_) | Act::Drop) | None => {}
                    }
                    let left = company.other.as_mut().and_then(|other| other.poll_frame(&mut frame));
                    if matches!(left, Some(Act::HangUp | Act::GiveUp)) {
                        return Ok(Waited::Left);
                    }
                }
            }
        }
    }
}
