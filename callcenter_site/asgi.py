"""The ASGI application served by uvicorn."""

import os
import warnings

from django.core.asgi import get_asgi_application

from callcenter_site.body_limit import BodyLimit
from callcenter_site.streams import Streams

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")

# WhiteNoise hands over static files as plain iterators; they are small and read once per browser.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

application = Streams(BodyLimit(get_asgi_application()))
