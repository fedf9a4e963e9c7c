"""Serialization: objects as exact JSON text and back, and older versions made present ones.

text = codec_of(Trade).to_text(trade)
trade = codec_of(Trade).from_text(text)

`Storable.to_json` and `Storable.from_json` are the way for programs.
"""

from store.serialization.codec import Codec, codec_of, defaults_of, json_text
from store.serialization.upcasting import upcaster, upcasters_of

__all__ = ["Codec", "codec_of", "defaults_of", "json_text", "upcaster", "upcasters_of"]
