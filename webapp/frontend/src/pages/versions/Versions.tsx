export default function Versions() {
  return <p>to come</p>;
}
