// The device check: one step after another, each of which can be skipped. What was found is judged by the portal, not here.
(() => {
  const HEARD_DB = -50, HEARD_MS = 250, SILENT_AFTER = 6_000;  // speech into a headset is at about -30 dBFS, a quiet room below -60
  const ROUND_TRIPS = 12, SMALL = 128 * 1024, LARGE = 1024 * 1024;
  const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

  const ready = () => {
    const page = document.querySelector("[data-check]");
    const words = JSON.parse(document.getElementById("check-words").textContent);
    const { urls } = JSON.parse(document.getElementById("desk-config").textContent);
    const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
    const ORDER = ["browser", "microphone", "speaker", "camera", "network"];
    const steps = Object.fromEntries(ORDER.map(name => [name, page.querySelector(`[data-step="${name}"]`)]));
    const in_ = (step, name) => steps[step].querySelector(`[data-${name}]`);
    const put = (step, name, text) => { const element = in_(step, name); if (element.textContent !== text) element.textContent = text; };
    const show = (step, name, isThere) => { const element = in_(step, name); if (element) element.hidden = !isThere; };

    let findings = {}, current = "", leave = () => {}, run = 0;

    // --- From one step to the next -----------------------------------------------------------------------------------
    const open = name => {
      leave();
      leave = () => {};
      run += 1;
      current = name;
      ORDER.forEach(other => {
        const isIt = other === name;
        steps[other].classList.toggle("is-current", isIt);
        isIt ? steps[other].setAttribute("aria-current", "step") : steps[other].removeAttribute("aria-current");
        steps[other].querySelector(".check-body").hidden = !isIt;
      });
      if (name) {
        steps[name].scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
        enter[name]?.();
      }
    };
    const close = (name, part, text) => {
      steps[name].dataset.part = part;
      put(name, "said-step", text ?? words.parts[part]);
      const next = ORDER[ORDER.indexOf(name) + 1];
      if (next) { open(next); focusFirst(next); } else { open(""); finish(); }
    };
    const focusFirst = name => {
      const target = [...steps[name].querySelectorAll("button")].find(button => !button.disabled && button.getClientRects().length);
      target?.focus({ preventScroll: true });
    };
    const help = (name, text, withHowTo = false) => {
      show(name, "help", Boolean(text));
      put(name, "help-text", text);
      show(name, "how-to-allow", withHowTo);
    };

    // --- Browser -----------------------------------------------------------------------------------------------------
    const nameByHints = async () => {
      const hints = navigator.userAgentData;
      if (!hints) return;
      try {
        const more = await hints.getHighEntropyValues(["platformVersion", "fullVersionList"]);
        const known = (more.fullVersionList || hints.brands).filter(one => !/not.?a.?brand/i.test(one.brand.replace(/[^a-z ]/gi, " ")));
        const brand = known.find(one => one.brand !== "Chromium") || known[0];
        if (brand) findings.browser = `${brand.brand} ${brand.version.split(".")[0]}`.slice(0, 80);
        const major = parseInt(more.platformVersion, 10);
        const version = hints.platform !== "Windows" ? more.platformVersion.split(".")[0] : major >= 13 ? "11" : major > 0 ? "10" : "";
        if (hints.platform) findings.operating_system = `${hints.platform} ${hints.platform === "Linux" ? "" : version}`.trim().slice(0, 80);
      } catch { /* the browser's own line tells enough */ }
    };
    const enterBrowser = async () => {
      const its = run;
      findings = { is_secure: window.isSecureContext, has_webrtc: "RTCPeerConnection" in window };
      const [browser, system] = [in_("browser", "browser"), in_("browser", "system")];
      browser.firstText ??= browser.textContent.trim();
      system.firstText ??= system.textContent.trim();
      await nameByHints();
      if (its !== run) return;
      findings.browser ??= browser.firstText.replace(/^–$/, "");
      findings.operating_system ??= system.firstText.replace(/^–$/, "");
      put("browser", "browser", findings.browser || "–");
      put("browser", "system", findings.operating_system || "–");
      show("browser", "insecure", !findings.is_secure);
      show("browser", "no-webrtc", !findings.has_webrtc);
    };

    // --- What microphone and camera have in common -------------------------------------------------------------------
    const openDevice = async (name, constraints) => {
      if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", window.isSecureContext ? "NotSupportedError" : "SecurityError");
      return navigator.mediaDevices.getUserMedia(constraints);
    };
    const explain = async (name, error) => {
      const { part, text } = {
        NotAllowedError: { part: "denied", text: words[`${name}_denied`] },
        SecurityError: { part: "failed", text: words.insecure },
        NotFoundError: { part: "missing", text: words[`${name}_missing`] },
        OverconstrainedError: { part: "missing", text: words[`${name}_missing`] },
        NotSupportedError: { part: "failed", text: words.not_supported },
      }[error.name] ?? { part: "failed", text: words[`${name}_failed`] };
      let isOpenQuestion = false;
      if (part === "denied") {
        try { isOpenQuestion = (await navigator.permissions.query({ name })).state === "prompt"; } catch { /* not every browser tells */ }
      }
      help(name, isOpenQuestion ? words.dismissed : text, part === "denied" && !isOpenQuestion);
      put(name, "line", "");
      show(name, "again", true);
      return part;
    };
    const offerDevices = async (name, kind, chosen, choose) => {
      let devices = [];
      try { devices = (await navigator.mediaDevices.enumerateDevices()).filter(device => device.kind === kind && device.deviceId); } catch { /* then none is offered */ }
      const select = in_(name, "devices");
      select.replaceChildren(...devices.map((device, n) => new Option(device.label || fill(words.device, { n: n + 1 }), device.deviceId, false, device.deviceId === chosen)));
      show(name, "device-choice", devices.length > 1);
      select.onchange = () => choose(select.value);
      return devices;
    };
    const follow = action => {
      const devices = navigator.mediaDevices;
      devices?.addEventListener?.("devicechange", action);
      return () => devices?.removeEventListener?.("devicechange", action);
    };

    // --- Microphone --------------------------------------------------------------------------------------------------
    let part = "";
    const enterMicrophone = async (deviceId = "") => {
      leave();
      const its = ++run;
      part = "";
      help("microphone", "");
      show("microphone", "again", false);
      in_("microphone", "next").disabled = true;
      in_("microphone", "meter-bar").style.transform = "scaleX(0)";
      put("microphone", "line", words.asking);
      let stream, audio;
      try {
        stream = await openDevice("microphone", { audio: deviceId ? { deviceId: { exact: deviceId } } : true });
        if (its !== run) return stream.getTracks().forEach(track => track.stop());
        audio = new (window.AudioContext || window.webkitAudioContext)();
        await Promise.race([audio.resume(), sleep(500)]);
      } catch (error) {
        stream?.getTracks().forEach(track => track.stop());
        if (its !== run) return;
        part = await explain("microphone", error);
        in_("microphone", "next").disabled = false;
        return;
      }
      const track = stream.getAudioTracks()[0];
      const meter = audio.createAnalyser();
      meter.fftSize = 2048;
      audio.createMediaStreamSource(stream).connect(meter);
      const samples = new Float32Array(meter.fftSize);
      let heard = 0, silentSince = performance.now(), last = silentSince, saidAt = 0, shown = 0, timer = 0;
      put("microphone", "line", words.speak);
      const measure = () => {
        const now = performance.now();
        meter.getFloatTimeDomainData(samples);
        const level = Math.sqrt(samples.reduce((sum, one) => sum + one * one, 0) / samples.length);
        const decibel = level > 0 ? 20 * Math.log10(level) : -100;
        const reach = Math.max(0, Math.min(1, (decibel + 70) / 60));
        shown = Math.max(reach, shown * .85);
        in_("microphone", "meter-bar").style.transform = `scaleX(${shown.toFixed(3)})`;
        if (now - saidAt > 500) { saidAt = now; in_("microphone", "meter").setAttribute("aria-valuenow", String(Math.round(shown * 100))); }
        if (decibel > HEARD_DB) heard += Math.min(now - last, 100);
        last = now;
        if (heard >= HEARD_MS && part !== "ok") {
          part = "ok";
          help("microphone", "");
          put("microphone", "line", words.heard);
          show("microphone", "again", false);
          in_("microphone", "next").disabled = false;
        } else if (!part && now - silentSince > SILENT_AFTER) {
          part = "silent";
          put("microphone", "line", "");
          help("microphone", words.microphone_silent);
          show("microphone", "again", true);
          in_("microphone", "next").disabled = false;
        }
      };
      timer = setInterval(measure, 50);
      track.onended = () => {
        part = "failed";
        help("microphone", words.unplugged);
        show("microphone", "again", true);
        in_("microphone", "next").disabled = false;
        put("microphone", "line", "");
      };
      const chosen = track.getSettings?.().deviceId ?? deviceId;
      const offer = () => offerDevices("microphone", "audioinput", chosen, enterMicrophone);
      const unfollow = follow(offer);
      leave = () => {
        clearInterval(timer);
        unfollow();
        track.onended = null;
        stream.getTracks().forEach(one => one.stop());
        audio.close();
        leave = () => {};
      };
      offer();
    };

    // --- Sound -------------------------------------------------------------------------------------------------------
    const playTone = async sinkId => {
      const audio = new (window.AudioContext || window.webkitAudioContext)();
      let player = null, target = audio.destination;
      try {
        if (sinkId && sinkId !== "default") {
          if (audio.setSinkId) await audio.setSinkId(sinkId);
          else if (HTMLMediaElement.prototype.setSinkId) {
            target = audio.createMediaStreamDestination();
            player = new Audio();
            player.srcObject = target.stream;
            await player.setSinkId(sinkId);
            await player.play();
          }
        }
        await Promise.race([audio.resume(), sleep(1_000)]);
        if (audio.state !== "running") throw new Error("no sound device answers");
        [523.25, 659.25, 783.99].forEach((pitch, n) => {
          const [tone, loudness, from] = [audio.createOscillator(), audio.createGain(), audio.currentTime + .05 + n * .55];
          tone.frequency.value = pitch;
          loudness.gain.setValueAtTime(0, from);
          loudness.gain.linearRampToValueAtTime(.3, from + .03);
          loudness.gain.setValueAtTime(.3, from + .4);
          loudness.gain.linearRampToValueAtTime(0, from + .5);
          tone.connect(loudness).connect(target);
          tone.start(from);
          tone.stop(from + .52);
        });
        await sleep(1_800);
      } finally {
        player?.pause();
        audio.close();
      }
    };
    const enterSpeaker = async () => {
      help("speaker", "");
      put("speaker", "line", "");
      ["next", "heard"].forEach(name => show("speaker", name, false));
      const canChoose = "setSinkId" in (window.AudioContext?.prototype ?? {}) || "setSinkId" in HTMLMediaElement.prototype;
      const offer = () => canChoose && offerDevices("speaker", "audiooutput", in_("speaker", "devices").value || "default", () => {});
      leave = follow(offer);
      await offer();
    };
    in_("speaker", "play").addEventListener("click", async event => {
      const its = run, button = event.currentTarget;
      button.disabled = true;
      help("speaker", "");
      show("speaker", "heard", false);
      put("speaker", "line", words.playing);
      try {
        await playTone(in_("speaker", "devices").value);
        if (its === run) { put("speaker", "line", ""); show("speaker", "heard", true); in_("speaker", "yes").focus({ preventScroll: true }); }
      } catch (error) {
        if (its !== run) return;
        part = error.name === "NotFoundError" ? "missing" : "failed";
        put("speaker", "line", "");
        help("speaker", words[`speaker_${part}`]);
        show("speaker", "next", true);
      } finally { button.disabled = false; }
    });
    in_("speaker", "yes").addEventListener("click", () => { findings.speaker = "ok"; close("speaker", "ok"); });
    in_("speaker", "no").addEventListener("click", () => {
      part = "silent";
      help("speaker", words.speaker_silent);
      show("speaker", "heard", false);
      show("speaker", "next", true);
      in_("speaker", "play").focus();
    });

    // --- Camera ------------------------------------------------------------------------------------------------------
    const enterCamera = () => {
      part = "";
      help("camera", "");
      put("camera", "line", "");
      ["video", "next", "again", "device-choice"].forEach(name => show("camera", name, false));
      show("camera", "open", true);
    };
    const openCamera = async (deviceId = "") => {
      leave();
      const its = ++run;
      part = "";
      help("camera", "");
      show("camera", "again", false);
      show("camera", "open", false);
      put("camera", "line", words.asking);
      let stream;
      try {
        stream = await openDevice("camera", { video: deviceId ? { deviceId: { exact: deviceId } } : true });
      } catch (error) {
        if (its !== run) return;
        part = await explain("camera", error);
        show("camera", "next", true);
        return;
      }
      const stop = () => stream.getTracks().forEach(track => track.stop());
      if (its !== run) return stop();
      const video = in_("camera", "video");
      leave = () => { stop(); video.srcObject = null; video.hidden = true; leave = () => {}; };
      video.hidden = false;
      video.srcObject = stream;
      try { await Promise.race([video.play(), sleep(4_000).then(() => { throw new Error("no picture"); })]); } catch {
        if (its !== run) return;
        leave();
        part = await explain("camera", new DOMException("", "NotReadableError"));
        show("camera", "next", true);
        return;
      }
      if (its !== run) return;
      part = "ok";
      put("camera", "line", words.seen);
      show("camera", "next", true);
      in_("camera", "next").focus({ preventScroll: true });
      await offerDevices("camera", "videoinput", stream.getVideoTracks()[0].getSettings?.().deviceId ?? deviceId, openCamera);
    };
    in_("camera", "open").addEventListener("click", () => openCamera());

    // --- Network -----------------------------------------------------------------------------------------------------
    const fetchBytes = async bytes => {
      const start = performance.now();
      const answer = await fetch(`${urls.probe}?bytes=${bytes}`, { cache: "no-store", credentials: "same-origin", redirect: "error", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(15_000) });
      if (!answer.ok) throw new Error(answer.status);
      await answer.arrayBuffer();
      return performance.now() - start;
    };
    const enterNetwork = async () => {
      const its = ++run;
      const connection = navigator.connection;
      help("network", "");
      show("network", "again", false);
      put("network", "line", words.measuring);
      const progress = share => { in_("network", "progress").style.transform = `scaleX(${share})`; };
      progress(0);
      // The kind of network, where the browser tells; else what it behaves like, which says "4g" of any cable.
      const kind = connection?.type && !["unknown", "other", "none"].includes(connection.type) ? connection.type : "";
      const likeness = connection?.effectiveType ?? "";
      findings.network_type = likeness.endsWith("2g") ? likeness : kind || likeness;
      const type = kind || likeness.replace("4g", "");
      try {
        await fetchBytes(0);  // the first one may open the connection
        const times = [];
        for (let n = 0; n < ROUND_TRIPS && its === run; n += 1) {
          times.push(await fetchBytes(0));
          progress((n + 1) / (ROUND_TRIPS + 4));
        }
        if (its !== run) return;
        const sorted = [...times].sort((a, b) => a - b);
        const roundTrip = (sorted[ROUND_TRIPS / 2 - 1] + sorted[ROUND_TRIPS / 2]) / 2;
        // As RTP counts it (RFC 3550): how much one packet differs from the one before. The slowest may be the portal's own work.
        const steady = times.filter(time => time < sorted.at(-1));
        const jitter = steady.slice(1).reduce((sum, time, n) => sum + Math.abs(time - steady[n]), 0) / Math.max(1, steady.length - 1);
        const speed = async bytes => bytes * 8 / 1_000 / Math.max(1, await fetchBytes(bytes) - roundTrip);
        let downlink = await speed(SMALL);
        progress((ROUND_TRIPS + 2) / (ROUND_TRIPS + 4));
        if (its === run && downlink > 1) downlink = Math.max(downlink, await speed(LARGE));
        if (its !== run) return;
        progress(1);
        Object.assign(findings, { round_trip_ms: Math.round(roundTrip), jitter_ms: Math.round(jitter), downlink_mbps: Math.round(downlink * 100) / 100 });
        close("network", "ok", fill(words.network, { round_trip: findings.round_trip_ms, downlink: Math.round(downlink * 10) / 10 }) + (type ? ` · ${type.toUpperCase()}` : ""));
      } catch {
        if (its !== run) return;
        put("network", "line", "");
        help("network", words.network_failed);
        show("network", "again", true);
        if (connection?.downlink) findings.downlink_mbps = connection.downlink;
        if (connection?.rtt) findings.round_trip_ms = connection.rtt;
      }
    };

    // --- The end -----------------------------------------------------------------------------------------------------
    const result = page.querySelector("[data-result]");
    const at = name => result.querySelector(`[data-${name}]`);
    const finish = async () => {
      const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? document.querySelector("[name=csrfmiddlewaretoken]").value;
      result.hidden = false;
      result.className = "check-result";
      at("result-title").textContent = words.storing;
      at("result-advice").replaceChildren();
      at("result-error").hidden = at("store-again").hidden = true;
      try {
        const answer = await fetch(urls["device-check"], {
          method: "POST", body: JSON.stringify(findings), credentials: "same-origin", signal: AbortSignal.timeout(10_000),
          headers: { Accept: "application/json", "Content-Type": "application/json", "X-CSRFToken": token },
        });
        const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
        const said = isJson ? await answer.json() : {};
        if (!answer.ok) throw new Error(said.detail || "");
        result.classList.add(`is-${said.result}`);
        at("result-title").textContent = words.results[said.result];
        at("result-advice").replaceChildren(...said.advice.map(text => Object.assign(document.createElement("li"), { textContent: text })));
        page.querySelector("[data-past]").innerHTML = said.past;
      } catch (error) {
        at("result-title").textContent = words.not_stored;
        at("result-error").textContent = error instanceof Error && error.name === "Error" && error.message ? error.message : words.not_reached;
        at("result-error").hidden = at("store-again").hidden = false;
      }
      result.focus({ preventScroll: true });
      result.scrollIntoView({ block: "nearest" });
    };
    at("store-again").addEventListener("click", finish);
    at("restart").addEventListener("click", () => {
      result.hidden = true;
      ORDER.forEach(name => { delete steps[name].dataset.part; put(name, "said-step", ""); });
      open("browser");
      focusFirst("browser");
    });

    const enter = { browser: enterBrowser, microphone: () => enterMicrophone(), speaker: enterSpeaker, camera: enterCamera, network: enterNetwork };
    const tryAgain = { microphone: () => enterMicrophone(in_("microphone", "devices").value), camera: () => openCamera(in_("camera", "devices").value), network: enterNetwork };
    ORDER.forEach(name => {
      in_(name, "skip")?.addEventListener("click", () => {
        if (name !== "network") findings[name] = "skipped";
        close(name, "skipped");
      });
      in_(name, "again")?.addEventListener("click", () => tryAgain[name]());
      in_(name, "next")?.addEventListener("click", () => {
        if (name === "browser") {
          const works = findings.is_secure && findings.has_webrtc;
          return close("browser", works ? "ok" : "failed", [findings.browser, findings.operating_system].filter(Boolean).join(" · "));
        }
        findings[name] = part;
        close(name, part);
      });
    });
    addEventListener("pagehide", () => leave());
    open("browser");
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", ready) : ready();
})();
