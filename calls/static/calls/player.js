// Plays recordings: a waveform to seek in, speed, keys. Links live for a minute, so who jumps later gets a new one.
"use strict";
(() => {
  const STEP = 5;
  const N_SLICES = 400;

  const clock = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds || 0));
    const two = (n) => String(n).padStart(2, "0");
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };

  // A link that has run out is asked for anew, and playing goes on from where it was.
  const keepLinked = (sound) => {
    const life = Number(sound.dataset.linkSeconds) * 1000;
    let linkedAt = Date.now();
    let isPlaying = false;
    const holds = (place) => Array.from({ length: sound.buffered.length }, (_, n) => n)
      .some((n) => sound.buffered.start(n) <= place && place < sound.buffered.end(n));
    const renew = () => {
      const place = sound.currentTime;
      const speed = sound.playbackRate;
      const goesOn = isPlaying;
      linkedAt = Date.now();
      sound.addEventListener("loadedmetadata", () => {
        sound.currentTime = place;
        sound.playbackRate = speed;
        if (goesOn) sound.play();
      }, { once: true });
      sound.src = sound.dataset.listen;
      sound.load();
    };
    sound.addEventListener("loadstart", () => { linkedAt = Date.now(); });
    sound.addEventListener("playing", () => { isPlaying = true; });
    sound.addEventListener("pause", () => { isPlaying = isPlaying && sound.seeking; });
    sound.addEventListener("seeking", () => { if (Date.now() - linkedAt > life && !holds(sound.currentTime)) renew(); });
    sound.addEventListener("error", () => { if (sound.currentTime && Date.now() - linkedAt > life) renew(); });
  };

  const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  // What the server could not look into without a decoder, the browser decodes: small files only, and only once they are
  // being listened to. At a low rate, so that an hour takes little memory.
  const decode = async (address) => {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    const context = new OfflineAudioContext(1, 1, 8000);
    const samples = (await context.decodeAudioData(await answer.arrayBuffer())).getChannelData(0);
    const peaks = new Uint8Array(Math.min(N_SLICES, samples.length));
    for (let slice = 0; slice < peaks.length; slice += 1) {
      const end = Math.floor((slice + 1) * samples.length / peaks.length);
      let peak = 0;
      for (let n = Math.floor(slice * samples.length / peaks.length); n < end; n += 1) peak = Math.max(peak, Math.abs(samples[n]));
      peaks[slice] = Math.min(255, Math.round(peak * 255));
    }
    return peaks;
  };

  const enhance = (player) => {
    const sound = player.querySelector("audio");
    const bar = player.querySelector(".player-bar");
    const button = player.querySelector(".player-play");
    const track = player.querySelector(".player-track");
    const canvas = track.querySelector("canvas");
    const speed = player.querySelector(".player-speed");
    const problem = player.querySelector(".player-problem");
    let peaks = fromBase64(player.dataset.peaks);
    let told = Number(player.dataset.seconds) || 0;
    let wantsPlace = null;

    keepLinked(sound);
    sound.controls = false;
    sound.preservesPitch = true;
    bar.hidden = false;

    const length = () => (Number.isFinite(sound.duration) && sound.duration > 0 ? sound.duration : told);
    const place = () => (wantsPlace === null ? sound.currentTime : wantsPlace);

    const draw = () => {
      const box = track.getBoundingClientRect();
      const scale = window.devicePixelRatio || 1;
      canvas.width = Math.max(1, Math.round(box.width * scale));
      canvas.height = Math.max(1, Math.round(box.height * scale));
      const style = getComputedStyle(track);
      const [played, rest] = [style.getPropertyValue("--played"), style.getPropertyValue("--rest")];
      const pen = canvas.getContext("2d");
      const share = length() ? place() / length() : 0;
      const bars = Math.max(1, Math.floor(box.width / 3));
      const loudest = peaks.length ? Math.max(1, ...peaks) : 1;
      for (let n = 0; n < bars; n += 1) {
        let peak = peaks.length ? 0 : 0.06 * loudest;
        for (let m = Math.floor(n * peaks.length / bars); m < Math.max(Math.floor(n * peaks.length / bars) + 1, Math.floor((n + 1) * peaks.length / bars)); m += 1) {
          peak = Math.max(peak, peaks[m] || 0);
        }
        const height = Math.max(2 * scale, peak / loudest * (canvas.height - 4 * scale));
        pen.fillStyle = (n + 0.5) / bars <= share ? played : rest;
        pen.fillRect(n * 3 * scale, (canvas.height - height) / 2, 2 * scale, height);
      }
    };

    const show = () => {
      const all = length();
      player.querySelector("[data-now]").textContent = clock(place());
      if (all) player.querySelector("[data-all]").textContent = clock(Math.round(all));
      track.setAttribute("aria-valuemax", String(Math.round(all)));
      track.setAttribute("aria-valuenow", String(Math.round(place())));
      track.setAttribute("aria-valuetext", player.dataset.position.replace("{now}", clock(place())).replace("{all}", clock(Math.round(all))));
      draw();
    };

    const seek = (to) => {
      const target = Math.min(Math.max(0, to), Math.max(0, length() - 0.05));
      if (sound.readyState > 0) sound.currentTime = target;
      else wantsPlace = target;  // nothing is fetched before somebody plays: fetching is listening, and is noted
      show();
    };

    const start = () => {
      for (const other of document.querySelectorAll("[data-player] audio")) if (other !== sound) other.pause();
      problem.hidden = true;
      sound.play().catch(() => {});
    };
    const toggle = () => { if (sound.paused) start(); else sound.pause(); };

    button.addEventListener("click", toggle);
    speed.addEventListener("change", () => { sound.playbackRate = Number(speed.value); });
    sound.addEventListener("loadedmetadata", () => {
      sound.playbackRate = Number(speed.value);
      if (wantsPlace !== null) { sound.currentTime = wantsPlace; wantsPlace = null; }
      show();
    });
    sound.addEventListener("timeupdate", show);
    sound.addEventListener("seeked", show);
    sound.addEventListener("durationchange", show);
    for (const [event, isPlaying] of [["play", true], ["pause", false], ["ended", false]]) {
      sound.addEventListener(event, () => {
        button.setAttribute("aria-pressed", String(isPlaying));
        button.firstElementChild.textContent = isPlaying ? "pause" : "play_arrow";
      });
    }
    sound.addEventListener("error", () => {
      window.setTimeout(() => {
        if (!sound.error) return;
        problem.textContent = player.dataset.problem;
        problem.hidden = false;
      }, 500);
    });
    if (player.dataset.waveform) {
      sound.addEventListener("playing", () => {
        decode(player.dataset.waveform).then((found) => { peaks = found; show(); }, () => {});  // without it, a plain bar
      }, { once: true });
    }

    const placeOf = (event) => {
      const box = track.getBoundingClientRect();
      return (event.clientX - box.left) / box.width * length();
    };
    track.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      track.setPointerCapture(event.pointerId);
      seek(placeOf(event));
    });
    track.addEventListener("pointermove", (event) => { if (track.hasPointerCapture(event.pointerId)) seek(placeOf(event)); });
    player.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target === speed) return;
      const moves = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP, PageDown: -30, PageUp: 30 };
      if (event.key in moves) seek(place() + moves[event.key]);
      else if (event.key === "Home") seek(0);
      else if (event.key === "End") seek(length());
      else if (event.key === " " && event.target !== button) toggle();  // on the button, space presses it
      else return;
      event.preventDefault();
    });
    new ResizeObserver(show).observe(track);
    new MutationObserver(show).observe(document.documentElement, { attributeFilter: ["class"] });
    show();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-player]").forEach(enhance));
})();
