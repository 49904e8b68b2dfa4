// Links to recordings live for a minute. Who jumps to another place later gets a new one, and goes on from there.
document.addEventListener("DOMContentLoaded", () => {
  for (const player of document.querySelectorAll("audio[data-listen]")) {
    let renewedAt = 0;
    player.addEventListener("error", () => {
      const place = player.currentTime;
      if (!place || Date.now() - renewedAt < 5000) return;
      renewedAt = Date.now();
      player.src = player.dataset.listen;
      player.addEventListener("loadedmetadata", () => { player.currentTime = place; player.play(); }, { once: true });
      player.load();
    });
  }
});
