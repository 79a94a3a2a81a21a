"""Training of the small embedded FLUX model on the procedural world: autoencoder, flow model, export."""
