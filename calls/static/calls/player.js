// Links to recordings live for a minute. Who jumps to another place later gets a new one, and goes on from there.
document.addEventListener("DOMContentLoaded", () => {
  for (const player of document.querySelectorAll("audio[data-listen]")) {
    const life = Number(player.dataset.linkSeconds) * 1000;
    let linkedAt = Date.now();
    let isPlaying = false;

    const holds = (place) => Array.from({ length: player.buffered.length }, (_, n) => n)
      .some((n) => player.buffered.start(n) <= place && place < player.buffered.end(n));
    const renew = () => {
      const place = player.currentTime;
      const goesOn = isPlaying;
      linkedAt = Date.now();
      player.addEventListener("loadedmetadata", () => {
        player.currentTime = place;
        if (goesOn) player.play();
      }, { once: true });
      player.src = player.dataset.listen;
      player.load();
    };

    player.addEventListener("loadstart", () => { linkedAt = Date.now(); });
    player.addEventListener("playing", () => { isPlaying = true; });
    player.addEventListener("pause", () => { isPlaying = isPlaying && player.seeking; });
    player.addEventListener("seeking", () => { if (Date.now() - linkedAt > life && !holds(player.currentTime)) renew(); });
    player.addEventListener("error", () => { if (player.currentTime && Date.now() - linkedAt > life) renew(); });
  }
});
