//! What one frame of 20 ms costs in samples, for each part and for all that a call does with one.
//!
//! A core has 20 ms for the frames of all its calls, so 20 ms divided by `frame/call` is the most calls a core could hold if it did
//! nothing else. Sockets, JSON and base64 are not in it.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use trunkline_media::{
    audio::{
        AudioFormat, Encoding, FRAME, SampleRate,
        convert::Converter,
        g711,
        outbound::{Outbound, OutboundItem},
        pacer::{DEFAULT_LEAD, Pacer},
        recording::mixer::RecordingMixer,
        resample::Resampler,
        vad::{Vad, VadConfig},
    },
    ids::Epoch,
    time::MediaTime,
};

/// What a voice sends: linear at 24 kHz, in chunks of 100 ms.
const VOICE: AudioFormat = AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_24000 };

/// A vowel's worth of harmonics, so that no part meets silence.
fn sound(rate: SampleRate, duration: Duration) -> Vec<i16> {
    let step = std::f64::consts::TAU * 120.0 / f64::from(rate.hz());
    (0..rate.samples_in(duration).0)
        .map(|n| (1..12).map(|k| (step * k as f64 * n as f64).sin() * 2500.0 / k as f64).sum::<f64>() as i16)
        .collect()
}

fn caller_frame() -> Vec<u8> {
    let mut frame = Vec::new();
    g711::mulaw_encode(&sound(SampleRate::HZ_8000, FRAME), &mut frame);
    frame
}

fn voice_chunk() -> Bytes {
    sound(VOICE.rate, FRAME * 5).iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn parts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    let frame = caller_frame();
    let samples = sound(SampleRate::HZ_8000, FRAME);

    let mut decoded = Vec::with_capacity(160);
    group.bench_function("mulaw_decode", |bencher| {
        bencher.iter(|| {
            decoded.clear();
            g711::mulaw_decode(black_box(&frame), &mut decoded);
        });
    });
    let mut encoded = Vec::with_capacity(160);
    group.bench_function("mulaw_encode", |bencher| {
        bencher.iter(|| {
            encoded.clear();
            g711::mulaw_encode(black_box(&samples), &mut encoded);
        });
    });
    for (name, from, to) in [
        ("resample_8_to_16", SampleRate::HZ_8000, SampleRate::HZ_16000),
        ("resample_24_to_8", SampleRate::HZ_24000, SampleRate::HZ_8000),
    ] {
        let input = sound(from, FRAME);
        let mut resampler = Resampler::new(from, to);
        let mut output = Vec::with_capacity(1000);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                output.clear();
                resampler.process(black_box(&input), &mut output);
            });
        });
    }
    let mut vad = Vad::new(VadConfig::default(), SampleRate::HZ_8000);
    let mut at = MediaTime::ZERO;
    group.bench_function("vad", |bencher| {
        bencher.iter(|| {
            vad.push(at, black_box(&samples));
            at += FRAME;
            vad.poll_event()
        });
    });
    let mut mixer = RecordingMixer::default();
    let mut block = Vec::with_capacity(1000);
    let mut at = MediaTime::ZERO;
    group.bench_function("recording", |bencher| {
        bencher.iter(|| {
            mixer.caller(at, black_box(&samples));
            mixer.agent(at + DEFAULT_LEAD, black_box(&samples));
            at += FRAME;
            block.clear();
            mixer.drain(at, &mut block);
        });
    });
    group.finish();
}

/// A call in which both sides speak all the time: the caller's frame is decoded, heard and recorded, and a frame of the agent's voice
/// is converted, queued, paced, taken and recorded.
fn call(criterion: &mut Criterion) {
    const EPOCH: Epoch = Epoch(1);
    let (frame, chunk) = (caller_frame(), voice_chunk());
    let mut vad = Vad::new(VadConfig::default(), SampleRate::HZ_8000);
    let mut mixer = RecordingMixer::default();
    let mut converter = Converter::new(VOICE, AudioFormat::MULAW_8K);
    let mut outbound = Outbound::new(AudioFormat::MULAW_8K);
    outbound.begin(EPOCH);
    let mut pacer = Pacer::new(DEFAULT_LEAD);
    let (mut heard, mut spoken, mut block) =
        (Vec::with_capacity(160), Vec::with_capacity(160), Vec::with_capacity(1000));
    let mut now = MediaTime::ZERO;

    criterion.bench_function("frame/call", |bencher| {
        bencher.iter(|| {
            heard.clear();
            g711::mulaw_decode(black_box(&frame), &mut heard);
            vad.push(now, &heard);
            black_box(vad.poll_event());
            mixer.caller(now, &heard);

            pacer.start(now);
            for _ in 0..pacer.due(now) {
                if !outbound.is_ready() {
                    let queued = outbound.push(EPOCH, converter.convert(chunk.clone()));
                    queued.expect("the queue is drained as fast as it is filled");
                }
                let Some(OutboundItem::Frame { data, .. }) = outbound.next_item() else { continue };
                spoken.clear();
                g711::mulaw_decode(&data, &mut spoken);
                mixer.agent(pacer.heard_from(now), &spoken);
                pacer.sent(1, now);
                black_box(data);
            }
            now += FRAME;
            block.clear();
            mixer.drain(now, &mut block);
        });
    });
}

criterion_group!(benches, parts, call);
criterion_main!(benches);
