export default function Prediction() {
  return <p>to come</p>;
}
