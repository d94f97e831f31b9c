(() => {
  "use strict";
  const key = "speechInterpPlayer_VERSION";

  const define = () => {
    let context = null; // one for the page, made at the first click
    let playing = null; // one sound at a time
    let turn = 0;

    const stop = () => {
      turn += 1;
      if (!playing) return;
      const { source, timer, idle } = playing;
      playing = null;
      source.onended = null;
      try { source.stop(); } catch { /* it had ended */ }
      cancelAnimationFrame(timer.id);
      idle();
    };

    // Decoders differ in how much of the MP3 encoder's delay they remove, from none to all of it.
    // So the delay is measured: the shift at which the decoded sound fits the drawn waveform best.
    const measureShift = (buffer, path, duration) => {
      const numbers = path.match(/-?\d+/g).map(Number); // x, top, bottom of every line
      const bins = numbers.length / 3;
      const drawn = Array.from({ length: bins }, (_, i) => numbers[3 * i + 2] - numbers[3 * i + 1]);
      const samples = buffer.getChannelData(0);
      const rate = buffer.sampleRate;
      const used = Math.min(bins, Math.ceil((bins * 8) / duration)); // the first 8 s are enough
      const fit = (shift) => {
        let xy = 0, xx = 0, yy = 0, x = 0, y = 0;
        for (let i = 0; i < used; i += 1) {
          const from = Math.round(((i * duration) / bins + shift) * rate);
          const to = Math.round((((i + 1) * duration) / bins + shift) * rate);
          let low = 0, high = 0;
          for (let s = Math.max(from, 0); s < to && s < samples.length; s += 1) {
            if (samples[s] < low) low = samples[s];
            if (samples[s] > high) high = samples[s];
          }
          const heard = high - low;
          xy += heard * drawn[i]; xx += heard * heard; yy += drawn[i] * drawn[i];
          x += heard; y += drawn[i];
        }
        const spread = (xx - (x * x) / used) * (yy - (y * y) / used);
        return spread > 0 ? (xy - (x * y) / used) / Math.sqrt(spread) : 0;
      };
      const best = (shifts) => shifts
        .map((shift) => [fit(shift), shift])
        .reduce((a, b) => (b[0] > a[0] + 1e-4 ? b : a));
      // What is known: all removed; none; the encoder's 576 samples; the decoder's 529; and with
      // a first frame (576 or 1152 samples) that holds no sound. Failing these, what fits best.
      const usual = [0, 1105, 529, 576, 1681, 2257].map((samples) => samples / rate);
      const known = best(usual);
      if (known[0] > 0.97) return known[1];
      const coarse = best(Array.from({ length: 101 }, (_, i) => i * 0.002 - 0.04))[1];
      const [score, shift] = best(Array.from({ length: 17 }, (_, i) => coarse + (i - 8) * 0.00025));
      if (score < known[0] + 0.02 || score < 0.5) return known[0] > 0.5 ? known[1] : 0;
      const far = (one) => Math.abs(one - shift);
      const near = usual.reduce((a, b) => (far(b) < far(a) ? b : a));
      return far(near) < 0.006 ? near : shift;
    };

    const setUp = (root) => {
      if (!root.querySelector("audio")) return; // the page is still being read; later
      root.dataset.ready = "";
      const Context = window.AudioContext || window.webkitAudioContext;
      if (!Context || !window.OfflineAudioContext) return; // the browser's own controls stay
      const find = (selector) => root.querySelector(selector);
      const audio = find("audio"), button = find(".si-play"), status = find(".si-status");
      const cursor = find(".si-cursor"), pick = find(".si-pick"), scroller = find(".si-scroll");
      const wave = find(".si-wave .si-lane"), time = find(".si-time");
      const duration = Number(root.dataset.duration);
      const rate = Number(root.dataset.rate);
      const span = (cell) => cell.dataset.t.split(" ").map(Number);
      const say = (text) => { status.textContent = text; };
      const place = (element, seconds) => { element.style.left = `${(100 * seconds) / duration}%`; };

      let sound = null;
      const decode = () => {
        sound ||= (async () => {
          const text = atob(audio.src.slice(audio.src.indexOf(",") + 1));
          const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
          const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer);
          const shift = measureShift(buffer, find("path").getAttribute("d"), duration);
          root.dataset.shift = shift.toFixed(5);
          return { buffer, shift };
        })();
        return sound;
      };

      const play = async (start, end, cell) => {
        document.dispatchEvent(new Event("speech-interp-play")); // every other player stops
        const mine = turn;
        context ||= new Context();
        const running = context.resume(); // must be asked for inside the click
        let loaded;
        try {
          loaded = await decode();
          await running;
        } catch {
          audio.hidden = false;
          say("This browser could not decode the sound; use its own controls below.");
          return;
        }
        if (mine !== turn) return; // stopped or restarted while decoding
        const length = Math.max(Math.min(end, duration) - start, 0.001);
        const source = context.createBufferSource();
        const gain = context.createGain();
        source.buffer = loaded.buffer;
        source.connect(gain).connect(context.destination);
        const begin = context.currentTime + 0.02;
        const fade = Math.min(0.002, length / 4); // no click at a cut
        gain.gain.setValueAtTime(0, begin);
        gain.gain.linearRampToValueAtTime(1, begin + fade);
        gain.gain.setValueAtTime(1, begin + length - fade);
        gain.gain.linearRampToValueAtTime(0, begin + length);
        source.start(begin, Math.max(0, start + loaded.shift), length);
        source.onended = stop;
        const timer = { id: 0 };
        const draw = () => {
          const now = context.currentTime - begin - (context.outputLatency || 0);
          const at = start + Math.min(Math.max(now, 0), length);
          place(cursor, at);
          const x = cursor.offsetLeft + wave.offsetLeft;
          const seen = scroller.scrollLeft + wave.offsetLeft;
          // A board of tables has no time line to follow.
          const timeLine = cursor.offsetParent;
          if (timeLine && (x < seen || x > scroller.scrollLeft + scroller.clientWidth - 20))
            scroller.scrollLeft = cursor.offsetLeft - 20;
          timer.id = requestAnimationFrame(draw);
        };
        cursor.hidden = false;
        cell?.classList.add("si-on");
        root.dataset.playing = `${start} ${end}`;
        button.textContent = "■ Stop";
        playing = {
          source, timer,
          idle() {
            cursor.hidden = true;
            pick.hidden = true;
            cell?.classList.remove("si-on");
            delete root.dataset.playing;
            button.textContent = "▶ Play";
          },
        };
        draw();
      };

      // One cell is in the tab order; the arrow keys move from there.
      const rows = [...root.querySelectorAll("[role=row]")]
        .map((row) => [...row.querySelectorAll("[data-t]")])
        .filter((row) => row.length);
      let current = null;
      const select = (cell, move) => {
        if (current) current.tabIndex = -1;
        current = cell;
        cell.tabIndex = 0;
        if (move) cell.focus();
        say(cell.getAttribute("aria-label"));
      };
      for (const cell of rows.flat()) {
        cell.tabIndex = -1;
        cell.title = cell.getAttribute("aria-label");
      }
      if (rows.length) { current = rows[0][0]; current.tabIndex = 0; }

      const nearest = (row, cell) => {
        // In a table the column counts, on the time line the time.
        const middle = (item) => Number(item.getAttribute("aria-colindex"))
          || span(item).reduce((a, b) => a + b) / 2;
        const far = (item) => Math.abs(middle(item) - middle(cell));
        const head = (item) => item.getAttribute("role") === "rowheader";
        const alike = row.filter((item) => head(item) === head(cell)); // names below names
        return (alike.length ? alike : row).reduce((a, b) => (far(b) < far(a) ? b : a));
      };
      const keys = (event) => {
        if (event.key === "Escape") stop();
        const cell = event.target.closest("[data-t]");
        if (!cell || event.altKey || event.metaKey) return;
        const y = rows.findIndex((row) => row.includes(cell));
        const row = rows[y], x = row.indexOf(cell);
        const goal = {
          ArrowLeft: () => row[x - 1], ArrowRight: () => row[x + 1],
          ArrowUp: () => rows[y - 1] && nearest(rows[y - 1], cell),
          ArrowDown: () => rows[y + 1] && nearest(rows[y + 1], cell),
          Home: () => (event.ctrlKey ? rows[0] : row)[0],
          End: () => (event.ctrlKey ? rows[rows.length - 1] : row).slice(-1)[0],
        }[event.key];
        if (goal) { const next = goal(); if (next) select(next, true); }
        else if (event.key === "Enter" || event.key === " ") play(...span(cell), cell);
        else return;
        event.preventDefault(); // and the notebook around keeps its own shortcuts to itself
        event.stopPropagation();
      };
      root.addEventListener("keydown", keys);
      document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
      time.addEventListener("focusin", (event) => {
        const cell = event.target.closest("[data-t]");
        if (cell) select(cell, false);
      });
      time.addEventListener("pointerover", (event) => {
        const cell = event.target.closest("[data-t]");
        if (cell) say(cell.getAttribute("aria-label"));
      });
      time.addEventListener("click", (event) => {
        const cell = event.target.closest("[data-t]");
        if (cell) { select(cell, true); play(...span(cell), cell); }
      });
      button.addEventListener("click", () => {
        if (root.dataset.playing) stop(); else play(0, duration, null);
      });

      // On the waveform: a click plays from there to the end, a drag plays what it covers.
      const at = (event) => {
        const box = wave.getBoundingClientRect();
        return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * duration;
      };
      let from = null;
      wave.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        from = at(event);
        if (event.pointerType !== "mouse") return; // a finger scrolls
        event.preventDefault();
        wave.setPointerCapture(event.pointerId);
      });
      wave.addEventListener("pointermove", (event) => {
        if (from === null || event.pointerType !== "mouse") return;
        const [start, end] = [from, at(event)].sort((a, b) => a - b);
        place(pick, start);
        pick.style.width = `${(100 * (end - start)) / duration}%`;
        pick.hidden = false;
        say(`${start.toFixed(2)} to ${end.toFixed(2)} s`);
      });
      wave.addEventListener("pointercancel", () => { from = null; pick.hidden = true; });
      wave.addEventListener("pointerup", (event) => {
        if (from === null) return;
        const [start, end] = [from, at(event)].sort((a, b) => a - b);
        from = null;
        if (end - start > 0.02 && event.pointerType === "mouse") play(start, end, null);
        else { pick.hidden = true; play(end, duration, null); }
      });

      for (const [selector, factor] of [[".si-in", 1.5], [".si-out", 1 / 1.5]]) {
        find(selector).addEventListener("click", () => {
          const zoom = Number(time.style.getPropertyValue("--zoom") || 1) * factor;
          time.style.setProperty("--zoom", Math.min(Math.max(zoom, 0.3), 12));
          current?.scrollIntoView({ block: "nearest", inline: "center" });
        });
      }
      for (const control of root.querySelectorAll(".si-bar button")) control.hidden = false;
      audio.hidden = true;
      const board = root.matches(".si-boards");
      const target = board ? "a cell" : "a word or a cell";
      say(`${rows.length ? `Click ${target}, or move with the arrow keys and press Enter. ` : ""}`
        + `${board ? "" : "Drag over the waveform to hear a part."}`);
      root.classList.add("si-ready");
    };

    document.addEventListener("speech-interp-play", stop);
    return () => document
      .querySelectorAll('.si-player[data-version="VERSION"]:not([data-ready])')
      .forEach(setUp);
  };

  const scan = (window[key] ||= define());
  scan();
  // Some notebooks run a script before they insert the output it stands in.
  document.addEventListener("DOMContentLoaded", scan);
  setTimeout(scan, 0);
  setTimeout(scan, 500);
})();
